"""Runs over the frames: their schemas, their differences, and their promotion."""
