"""The way of a row of the logs back to the frame that it came from."""
