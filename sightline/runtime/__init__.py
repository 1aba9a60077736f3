"""What every process needs: settings, errors, clock, log, metrics, health, secrets, tracing."""
