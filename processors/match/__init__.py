"""Matching: who a track is, against the enrolled people and the strangers that a site has met."""
