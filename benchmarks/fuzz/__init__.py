"""Show that nothing that arrives ends a process: mutated records and mutated requests."""
