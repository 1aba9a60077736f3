"""The contract: messages, topics, deterministic ids and the database schema."""
