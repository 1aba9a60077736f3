"""Encrypts what is stored with the newest key."""
