"""Pure decision step: one face event and the state of its site into sightings and changes."""
