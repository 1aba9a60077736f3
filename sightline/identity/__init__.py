"""Calibration of model packs' scores, and thresholds that follow from it."""
