"""Faust and Kafka at the edge of the matcher."""
