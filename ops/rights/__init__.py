"""What each service may do in Kafka, and the certificates of a secure home."""
