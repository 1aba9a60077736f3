"""Sinks: one idempotent writer for each table that people read."""
