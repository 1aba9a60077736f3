"""Registry of the encryption keys in use, as the table `sealing_keys` has it.

A process that lacks one of the keys fails when it connects, before it writes anything that other
processes cannot read.
"""

from typing import Any

import psycopg

from sightline.storage.encryption import KeyRing, MissingKeyError

PLAIN = "plain"
"""Listed among the keys while unencrypted rows or objects may exist."""

_checked: set[tuple[str, ...]] = set()


def check(db: psycopg.Connection[Any], ring: KeyRing | None) -> None:
    """Note the key that encrypts from now on. Raises MissingKeyError if a key in use is not set.

    Queries the database once for each process and each set of keys.
    """
    ids = ring.ids if ring else []
    checked = (db.info.dsn, *ids)
    if checked in _checked:
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
    _checked.add(checked)


def used(db: psycopg.Connection[Any]) -> set[str]:
    """Return the ids of all keys in use, and `PLAIN`."""
    return {row[0] for row in db.execute("SELECT key_id FROM public.sealing_keys")}


def note(db: psycopg.Connection[Any], key: str) -> None:
    """Note that a key is in use."""
    if key not in used(db):
        db.execute(
            "INSERT INTO public.sealing_keys (key_id) VALUES (%s) ON CONFLICT DO NOTHING", (key,)
        )


def forget(db: psycopg.Connection[Any], key_ids: set[str]) -> None:
    """Note that keys are not in use any more."""
    db.execute("DELETE FROM public.sealing_keys WHERE key_id = ANY(%s)", (sorted(key_ids),))
    _checked.clear()
