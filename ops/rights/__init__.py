"""Rights of the services in Kafka, and the certificates of a secure home."""
