"""Measures the scores of a model pack on labelled pictures and fits its calibration."""
