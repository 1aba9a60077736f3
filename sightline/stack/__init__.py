"""The embedded stack for one machine: Kafka, PostgreSQL, a folder of objects."""
