"""Stack of one machine: embedded Kafka and PostgreSQL, and a folder of objects."""
