"""What can be run by its name: every package says so of itself."""

from importlib.metadata import EntryPoint, entry_points


def services() -> dict[str, EntryPoint]:
    """Every service by its name, in the order in which they are started."""
    return {point.name: point for point in entry_points(group="sightline.services")}


def jobs() -> dict[str, EntryPoint]:
    """What is started by its name alone, and ends when it is done."""
    return {point.name: point for point in entry_points(group="sightline.jobs")}
