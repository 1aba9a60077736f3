"""The type of the headers of a Kafka record, which traces travel in."""

Headers = tuple[tuple[str, bytes], ...]
"""Name and value of each header, in the order of the record."""
