"""Access to the API: authentication of every request, and the permission of each route."""
