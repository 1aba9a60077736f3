"""The operators' programs: they stand on everything, and nothing imports them."""
