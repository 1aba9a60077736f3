"""Pages and dashboards that are generated from the code: `make docs`."""
