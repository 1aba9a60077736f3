"""Erasing a person: from the database, the object store and the topics, with a signed report."""
