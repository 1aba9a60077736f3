"""Fleets of an installation's cameras, and their topics."""

from schemas.topics import DEFAULT_FLEET, Topic, all_topics
from sightline.runtime.settings import Settings
from sightline.storage.db import connect


def list_fleets(settings: Settings) -> tuple[str, ...]:
    """Return the default fleet and every fleet that a camera belongs to, in order."""
    with connect(settings) as connection:
        rows = connection.execute("SELECT DISTINCT fleet FROM cameras").fetchall()
    return tuple(sorted({DEFAULT_FLEET, settings.fleet, *(str(fleet) for (fleet,) in rows)}))


def list_topics(settings: Settings) -> list[Topic]:
    """Return all topics of the registry, with those of every fleet."""
    return all_topics(list_fleets(settings))
