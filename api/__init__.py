"""REST over HTTP: reads the database, talks to the pipeline through Kafka."""
