"""The sink runtime: a loop from Kafka to whatever a sink says that it writes to."""
