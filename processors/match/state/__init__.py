"""State of a site: its tracks of the last minutes and its unknown persons."""
