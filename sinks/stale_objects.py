"""Objects that no row points to: their notes in `stale_objects`, and their deletion.

A new object is noted there before it is written, and the transaction whose rows point to it removes
the note: if the transaction fails, the object is deleted an hour later.
"""

import logging
from collections.abc import Collection, Mapping
from datetime import timedelta

import psycopg

from sightline.runtime import metrics
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, first_line
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Cursor, connect
from sightline.storage.objects import ObjectStore

log = logging.getLogger(__name__)

_EXPECTED_TTL = timedelta(hours=1)
"""No transaction takes so long."""

_BATCH_OBJECTS = 100
"""Objects deleted in one transaction: a second or two where the store takes 20 ms for each."""

_STORE_RETRY_SECONDS = 60.0
"""Pause before the next deletion after a store has not answered."""

_EXPECT = """
INSERT INTO stale_objects (key, stale_at) SELECT unnest(%s::text[]), now() + %s
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""

_RELEASE = """
INSERT INTO stale_objects (key) VALUES (%s)
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""

_DELETE = "DELETE FROM stale_objects WHERE key = ANY(%s)"

_DUE = """
SELECT key, attempts FROM stale_objects WHERE stale_at < now()
ORDER BY stale_at LIMIT %s FOR UPDATE SKIP LOCKED
"""

# The next attempt is after 1 min, 2 min, 4 min, ... a day.
_POSTPONE = """
UPDATE stale_objects SET attempts = attempts + 1, last_error = failed.error,
    stale_at = now() + least(interval '1 min' * 2 ^ least(attempts, 11), interval '1 day')
FROM unnest(%s::text[], %s::text[]) AS failed(key, error)
WHERE stale_objects.key = failed.key
"""


class ObjectNotes:
    """Notes of the objects that a sink's transactions write and release.

    Notes of new objects are committed at once, on a connection of their own.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._db: Connection | None = None
        self._transaction = ""
        self._changed: set[str] = set()

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def expect(self, cursor: Cursor, keys: Collection[str]) -> None:
        """Note objects that are about to be written, even if the cursor's transaction fails.

        Raises UnreachableError or psycopg.OperationalError when the database fails.
        """
        # A note that this transaction has changed is locked by it, and not needed: if it fails,
        # the earlier note is there again, or the row that points to the object.
        new = sorted(set(keys) - self._changed_by(cursor))
        if new:
            self._commit(new)

    def remove(self, cursor: Cursor, keys: Collection[str]) -> None:
        """Remove the notes of objects that the transaction's rows point to.

        Called before the objects are written: it waits for a deletion under way.
        """
        cursor.execute(_DELETE, (sorted(keys),))
        self._changed_by(cursor).update(keys)

    def release(self, cursor: Cursor, key: str) -> None:
        """Note that no row points to an object once the transaction has committed."""
        cursor.execute(_RELEASE, (key,))
        self._changed_by(cursor).add(key)

    def _changed_by(self, cursor: Cursor) -> set[str]:
        """Return the keys whose notes the cursor's transaction has changed."""
        (transaction,) = cursor.execute("SELECT pg_current_xact_id()::text").fetchone() or ("",)
        if transaction != self._transaction:
            self._transaction, self._changed = transaction, set()
        return self._changed

    def _commit(self, keys: list[str]) -> None:
        if self._db is None or self._db.closed:
            self._db = self._connected()
        try:
            self._db.execute(_EXPECT, (keys, _EXPECTED_TTL))
        except psycopg.OperationalError:
            if not self._db.closed:
                raise
            # The connection was cut since its last use: a new one shows if the database is there.
            self._db = self._connected()
            self._db.execute(_EXPECT, (keys, _EXPECTED_TTL))

    def _connected(self) -> Connection:
        db = connect(self._settings, autocommit=True)
        # A transaction that locks a note deletes its object, in moments.
        db.execute("SET lock_timeout = '10s'")
        return db


class StaleObjects:
    """Deletes the objects that no row points to, some at a time."""

    def __init__(self, name: str, store: ObjectStore, clock: Clock | None = None) -> None:
        """Delete from `store`; the log names failures by the sink's `name`."""
        self._name = name
        self._store = store
        self._clock = clock or SystemClock()
        self._not_before = self._clock.monotonic()

    def delete_batch(self, db: Connection) -> bool:
        """Delete objects that are due, in a transaction; return whether there may be more.

        An object that cannot be deleted is postponed, longer each time. When the store does not
        answer, nothing is postponed, and nothing deleted for a minute. Raises
        psycopg.OperationalError.
        """
        if self._clock.monotonic() < self._not_before:
            return False
        try:
            with db.transaction(), db.cursor() as cursor:
                attempts: dict[str, int] = dict(cursor.execute(_DUE, (_BATCH_OBJECTS,)).fetchall())
                if attempts:
                    failed = self._store.delete_all(list(attempts))
                    cursor.execute(_DELETE, (sorted(attempts.keys() - failed.keys()),))
                    self._postpone(cursor, failed, attempts)
        except InfrastructureError as error:
            self._not_before = self._clock.monotonic() + _STORE_RETRY_SECONDS
            log.warning("%s: stale objects are deleted later: %s", self._name, first_line(error))
            return False
        return len(attempts) == _BATCH_OBJECTS

    def _postpone(
        self, cursor: Cursor, failed: Mapping[str, str], attempts: Mapping[str, int]
    ) -> None:
        if not failed:
            return
        cursor.execute(_POSTPONE, (list(failed), list(failed.values())))
        metrics.OBJECT_DELETIONS_POSTPONED.inc(len(failed))
        first = [error for key, error in failed.items() if not attempts[key]]
        if first:
            log.warning(
                "%s: %d objects cannot be deleted and are tried again later; one of them: %s",
                self._name, len(first), first[0],
            )  # fmt: skip
