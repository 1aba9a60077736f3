"""Erasure of a person from database, object store and topics, with a signed report."""
