"""Kafka glue: configuration, records, the transactional transform, sinks and dead letters."""
