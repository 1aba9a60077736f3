"""Kafka: client configuration, records, producer, transform loop, lag and dead letters."""
