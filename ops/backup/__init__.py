"""Backup of all that cannot be recomputed, into a folder, and its restore."""
