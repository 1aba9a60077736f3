"""Producers: cameras (and later albums and edge cameras) to Kafka."""
