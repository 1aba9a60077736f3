"""Services and jobs that can be run by name, as packages declare them by entry points.

To find them takes a tenth of a second, as the metadata of every installed package are read: it is
done once in a process, and the forkserver does it for all that are forked from it.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points


@cache
def services() -> dict[str, EntryPoint]:
    """Return the entry point of every service by name, in the order of their start."""
    return {point.name: point for point in entry_points(group="sightline.services")}


@cache
def jobs() -> dict[str, EntryPoint]:
    """Return the entry point of every job by name; a job ends when it is done."""
    return {point.name: point for point in entry_points(group="sightline.jobs")}
