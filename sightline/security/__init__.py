"""Who may do what in Kafka and PostgreSQL, and how it is proved."""
