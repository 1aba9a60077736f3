"""Storage: PostgreSQL, the object store, encryption at rest, cameras and the outbox."""
