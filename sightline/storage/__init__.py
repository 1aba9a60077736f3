"""What is kept: the database, objects, people, cameras and the outbox."""
