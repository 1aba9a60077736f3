"""Who may do what: roles, API keys, people who sign in, and their sessions."""
