"""Processors: what makes new records from records."""
