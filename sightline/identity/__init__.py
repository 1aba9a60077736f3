"""What scores mean: calibrations of model packs, and the thresholds that follow from them."""
