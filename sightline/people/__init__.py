"""Enrolled people: their photos, records and templates."""
