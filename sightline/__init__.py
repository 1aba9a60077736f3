"""Sightline: the library that every service imports."""

__version__ = "0.1.0"
