"""Runs over the frames: where their rows are, how two differ, which one is the truth."""
