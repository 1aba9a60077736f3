"""Which keys all that is stored is sealed with, as the database says.

Whoever lacks one of them finds out when they connect, and writes nothing that others cannot read.
"""

from typing import Any

import psycopg

from sightline.storage.encryption import MissingKeyError, Ring

PLAIN = "plain"
"""Stands among the keys while there may be anything that is not sealed, or was not."""

_checked: set[tuple[str, ...]] = set()


def check(db: psycopg.Connection[Any], ring: Ring | None) -> None:
    """Note the key that seals from now on. Raises MissingKeyError where another one is missing.

    Asks the database once for each process and each set of keys.
    """
    ids = ring.ids if ring else []
    asked = (db.info.dsn, *ids)
    if asked in _checked:
        return
    with db.transaction():
        missing = used(db) - {PLAIN, *ids}
        if missing:
            raise MissingKeyError(
                "what is stored is sealed with keys that are not set: add"
                f" {', '.join(sorted(missing))} to encryption.keys, after the one that seals"
            )
        if ring:
            note(db, ids[0])
    _checked.add(asked)


def used(db: psycopg.Connection[Any]) -> set[str]:
    """The ids of all keys that something may be sealed with, and `PLAIN`."""
    return {row[0] for row in db.execute("SELECT key_id FROM public.sealing_keys")}


def note(db: psycopg.Connection[Any], key: str) -> None:
    """Say that something may be sealed with a key."""
    if key not in used(db):
        db.execute(
            "INSERT INTO public.sealing_keys (key_id) VALUES (%s) ON CONFLICT DO NOTHING", (key,)
        )


def forget(db: psycopg.Connection[Any], others: set[str]) -> None:
    """Say that nothing is sealed with these keys any more."""
    db.execute("DELETE FROM public.sealing_keys WHERE key_id = ANY(%s)", (sorted(others),))
    _checked.clear()
