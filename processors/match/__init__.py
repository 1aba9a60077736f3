"""Matching: face observations of a site in, sightings of its people out."""
