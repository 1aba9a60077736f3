"""Base of every process: settings, errors, clock, log, metrics, health, secrets, tracing."""
