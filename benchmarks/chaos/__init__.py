"""Chaos: everything is hit while a known load runs, and the outcome compared with a calm run's."""
