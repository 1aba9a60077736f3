"""Replays: plan a run over frames that Kafka still holds, and carry it out."""
