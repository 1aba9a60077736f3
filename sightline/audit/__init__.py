"""The audit trail: every access to people's data, with actor, time, purpose and address."""
