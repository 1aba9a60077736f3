"""Matching of a replay: the faces of a run, decided beside those of the live run."""
