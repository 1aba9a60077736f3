"""The audit trail: who read or changed whose data, when, why and from where."""
