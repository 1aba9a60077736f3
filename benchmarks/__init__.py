"""Measurements: everything printed was measured in the same run."""
