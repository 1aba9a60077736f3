"""Services and jobs that can be run by name, as packages declare them by entry points."""

from importlib.metadata import EntryPoint, entry_points


def services() -> dict[str, EntryPoint]:
    """Return the entry point of every service by name, in the order of their start."""
    return {point.name: point for point in entry_points(group="sightline.services")}


def jobs() -> dict[str, EntryPoint]:
    """Return the entry point of every job by name; a job ends when it is done."""
    return {point.name: point for point in entry_points(group="sightline.jobs")}
