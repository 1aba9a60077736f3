"""Demo: films with a known ground truth, and its comparison with the pipeline's output."""
