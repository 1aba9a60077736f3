"""The schema of the database and what each service may do in it."""
