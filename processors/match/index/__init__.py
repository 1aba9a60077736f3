"""In-memory indexes of templates, and the candidate search on them."""
