"""Enrols many employees at once: a folder of photos, or a list."""
