"""Objects of a person: found by rows and by names, deleted unless written again."""

import re
from collections.abc import Collection, Iterable

from psycopg import sql

from sightline.people.identity_corrections import Cursor
from sightline.runtime.settings import Settings
from sightline.storage.db import connect, row_schemas
from sightline.storage.objects import ObjectStore, open_store, safe_name

_STALE = """
INSERT INTO stale_objects (key) SELECT unnest(%s::text[])
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""

_DATE_PATTERN = r"_\d{4}-\d\d-\d\d_.*\.jpg"


def keys_with_names(store: ObjectStore, names: Iterable[str]) -> set[str]:
    """Return the keys that hold one of the names: snapshots, those of runs, and photos."""
    safe_names = [safe_name(name) for name in names]
    if not safe_names:
        return set()
    any_name = f"({'|'.join(map(re.escape, safe_names))})"
    snapshot = re.compile(rf"(runs/[^/]+/)?known/{any_name}{_DATE_PATTERN}")
    photo = re.compile(rf"enrollment_photos/{any_name}(-\d+)?\.jpg")
    prefixes = ["runs/"]  # all runs are listed once for all names
    for name in safe_names:
        prefixes += [f"known/{name}_", f"enrollment_photos/{name}"]
    keys = (key for prefix in prefixes for key in store.keys(prefix))
    return {key for key in keys if snapshot.fullmatch(key) or photo.fullmatch(key)}


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


def delete(settings: Settings, keys: Collection[str]) -> None:
    """Delete the objects that nobody has written again. Raises InfrastructureError."""
    store = open_store(settings)
    with connect(settings) as db:
        # A locked row is being deleted by its holder, within moments.
        query = "SELECT key FROM stale_objects WHERE key = ANY(%s) ORDER BY key FOR UPDATE"
        for (key,) in db.execute(query, (sorted(keys),)).fetchall():
            store.delete(key)
            db.execute("DELETE FROM stale_objects WHERE key = %s", (key,))
