"""Registry of the encryption keys in use, as the table `sealing_keys` has it.

A process that lacks one of the keys fails when it connects, before it writes anything that other
processes cannot read.
"""

from typing import Any

import psycopg

from sightline.storage.encryption import KeyRing, MissingKeyError

PLAINTEXT = "plain"
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
        missing = used_keys(db) - {PLAINTEXT, *ids}
        if missing:
            raise MissingKeyError(
                "what is stored is encrypted with keys that are not set: add"
                f" {', '.join(sorted(missing))} to encryption.keys, after the one that encrypts"
            )
        if ring:
            register_key(db, ids[0])
    _checked.add(checked)


def used_keys(db: psycopg.Connection[Any]) -> set[str]:
    """Return the ids of all keys in use, and `PLAINTEXT`."""
    return {row[0] for row in db.execute("SELECT key_id FROM public.sealing_keys")}


def register_key(db: psycopg.Connection[Any], key: str) -> None:
    """Note that a key is in use."""
    if key not in used_keys(db):
        db.execute(
            "INSERT INTO public.sealing_keys (key_id) VALUES (%s) ON CONFLICT DO NOTHING", (key,)
        )


def unregister_keys(db: psycopg.Connection[Any], key_ids: set[str]) -> None:
    """Note that keys are not in use any more."""
    db.execute("DELETE FROM public.sealing_keys WHERE key_id = ANY(%s)", (sorted(key_ids),))
    _checked.clear()
