"""Objects of a person: found by rows and by names, deleted unless written again."""

from collections.abc import Collection, Iterable

from psycopg import sql

from schemas.naming import RUNS_PREFIX, parse_person, person_prefixes, safe_name
from sightline.runtime.settings import Settings
from sightline.storage.db import Cursor, connect, row_schemas
from sightline.storage.objects import ObjectStore, open_store

_STALE = """
INSERT INTO stale_objects (key) SELECT unnest(%s::text[])
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""


def keys_with_names(store: ObjectStore, names: Iterable[str]) -> set[str]:
    """Return the keys that hold one of the names: snapshots, those of runs, and photos."""
    safe_names = set[str]()
    prefixes = {RUNS_PREFIX}  # all runs are listed once for all names
    for name in names:
        safe_names.add(safe_name(name))
        prefixes.update(person_prefixes(name))
    if not safe_names:
        return set()
    keys = (key for prefix in sorted(prefixes) for key in store.keys(prefix))
    return {key for key in keys if parse_person(key) in safe_names}


def referenced(cursor: Cursor, keys: Iterable[str]) -> set[str]:
    """Return the keys that a row points to."""
    sorted_keys = sorted(keys)
    cursor.execute("SELECT photo_url FROM face_templates WHERE photo_url = ANY(%s)", (sorted_keys,))
    pointed = {row[0] for row in cursor}
    for schema in row_schemas(cursor.connection):
        query = sql.SQL("SELECT path FROM {} WHERE path = ANY(%s)")
        cursor.execute(query.format(sql.Identifier(schema, "snapshots")), (sorted_keys,))
        pointed |= {row[0] for row in cursor}
    return pointed


def mark_stale(cursor: Cursor, keys: Collection[str]) -> None:
    """Note that no row points to the keys; a later write of a key removes its note."""
    cursor.execute(_STALE, (sorted(keys),))


def delete_objects(settings: Settings, keys: Collection[str]) -> None:
    """Delete the objects that nobody has written again. Raises InfrastructureError."""
    store = open_store(settings)
    with connect(settings) as db:
        # A locked row is being deleted by its holder, within moments.
        query = "SELECT key FROM stale_objects WHERE key = ANY(%s) ORDER BY key FOR UPDATE"
        for (key,) in db.execute(query, (sorted(keys),)).fetchall():
            store.delete(key)
            db.execute("DELETE FROM stale_objects WHERE key = %s", (key,))
