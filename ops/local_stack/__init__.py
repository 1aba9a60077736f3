"""The stack for one machine: a real broker, a real database and a folder of objects."""
