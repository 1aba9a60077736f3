"""The demo: films whose truth is known, and the comparison of truth and found."""
