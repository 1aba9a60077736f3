"""A person's objects: found by rows and by names, deleted where nobody has written them again."""

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

_DATED = r"_\d{4}-\d\d-\d\d_.*\.jpg"


def named(store: ObjectStore, names: Iterable[str]) -> set[str]:
    """The keys that have one of these names in them: snapshots, those of runs, and photos."""
    safe = [safe_name(one) for one in names]
    if not safe:
        return set()
    theirs = f"({'|'.join(map(re.escape, safe))})"
    snapshot = re.compile(rf"(runs/[^/]+/)?known/{theirs}{_DATED}")
    photo = re.compile(rf"enrollment_photos/{theirs}(-\d+)?\.jpg")
    prefixes = ["runs/"]  # of all runs, so once for all names
    for one in safe:
        prefixes += [f"known/{one}_", f"enrollment_photos/{one}"]
    keys = (key for prefix in prefixes for key in store.keys(prefix))
    return {key for key in keys if snapshot.fullmatch(key) or photo.fullmatch(key)}


def pointed_to(cursor: Cursor, keys: Iterable[str]) -> set[str]:
    """Those that somebody's row points to."""
    wanted = sorted(keys)
    cursor.execute("SELECT photo_url FROM face_templates WHERE photo_url = ANY(%s)", (wanted,))
    pointed = {row[0] for row in cursor}
    for schema in row_schemas(cursor.connection):
        query = sql.SQL("SELECT path FROM {} WHERE path = ANY(%s)")
        cursor.execute(query.format(sql.Identifier(schema, "snapshots")), (wanted,))
        pointed |= {row[0] for row in cursor}
    return pointed


def give_up(cursor: Cursor, keys: Collection[str]) -> None:
    """Note that nothing points to these any more: whoever writes one anew takes the note back."""
    cursor.execute(_STALE, (sorted(keys),))


def delete(settings: Settings, keys: Collection[str]) -> None:
    """Delete those that nobody has written again. Raises InfrastructureError."""
    store = open_store(settings)
    with connect(settings) as db:
        # Who holds one deletes it just now, in moments.
        query = "SELECT key FROM stale_objects WHERE key = ANY(%s) ORDER BY key FOR UPDATE"
        for (key,) in db.execute(query, (sorted(keys),)).fetchall():
            store.delete(key)
            db.execute("DELETE FROM stale_objects WHERE key = %s", (key,))
