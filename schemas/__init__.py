"""The contract: messages, topics, protocol names, deterministic ids, the database's schema."""
