"""Everything that cannot be made again, in a folder, and back."""
