"""Explanation of a row of the logs: its evidence, back to the frame that it came from."""
