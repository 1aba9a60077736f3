"""Faces to sightings: who is who."""
