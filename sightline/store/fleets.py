"""Which fleets of cameras there are."""

import psycopg

from schemas.topics import DEFAULT_FLEET
from sightline.errors import SightlineError
from sightline.settings import Settings
from sightline.store.db import connect


def known_fleets(settings: Settings) -> tuple[str, ...]:
    """The default fleet and every fleet that a camera names."""
    with connect(settings) as connection:
        try:
            found = connection.execute("SELECT DISTINCT fleet FROM cameras").fetchall()
        except psycopg.errors.UndefinedTable:
            raise SightlineError("the database is empty: run `sightline db upgrade`") from None
    return tuple(sorted({DEFAULT_FLEET, settings.fleet, *(str(fleet) for (fleet,) in found)}))
