"""Who may use the API: the gate that everything passes, and what each route needs."""
