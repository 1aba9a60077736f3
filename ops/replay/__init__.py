"""Passes over frames that are in Kafka already: what one is over, and who carries it out."""
