"""Writing of the audit trail: an entry for each access, in the transaction of the change, if any.

Commands and routes begin a `Recording`, to which all code that works for them may add. Code that
changes data calls `write_entry` as the last statement of its transaction.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from typing import Any
from uuid import UUID

import psycopg

from schemas.ids import global_id
from schemas.naming import AdvisoryLock
from sightline.audit.actor import Actor
from sightline.audit.anchor import Anchor, contains_head
from sightline.audit.chain import GENESIS_HASH, Entry, Line, Outcome, Value, line_hash
from sightline.audit.keys import SigningKey, signing_key
from sightline.runtime.clock import Clock, SystemClock, to_datetime
from sightline.runtime.errors import InfrastructureError, SightlineError, first_line
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Cursor, connect

log = logging.getLogger(__name__)

SubjectValue = Value | UUID | Sequence[UUID] | None
Connect = Callable[[], AbstractContextManager[Connection]]

MAX_PURPOSE = 500
"""Longest purpose in characters."""

MAX_PERSONS = 1000
"""Most persons of an entry; beyond that it says `everybody` and their number."""


_INSERT = """
INSERT INTO public.audit (line, at, actor_kind, actor_id, actor_name, role, address, action, about,
    purpose, outcome, previous, hash, key_id, signature)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

_current: ContextVar["Recording | None"] = ContextVar("recording", default=None)


def checked_purpose(purpose: str | None, settings: Settings) -> str | None:
    """Return a purpose with normal spaces. Raises SightlineError if it is missing but required."""
    tidy = " ".join((purpose or "").split())
    if not tidy and settings.audit.purpose_required:
        raise SightlineError("say what for: --purpose, over HTTP the header X-Purpose")
    if len(tidy) > MAX_PURPOSE or not tidy.isprintable():
        raise SightlineError(f"a purpose has at most {MAX_PURPOSE} characters, all printable")
    return tidy or None


class Recording:
    """An access of an actor, until the trail has its entry."""

    def __init__(
        self,
        settings: Settings,
        action: str,
        actor: Actor,
        purpose: str | None = None,
        *,
        connected: Connect | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Begin a recording; `connected` opens its connections, by default `connect`."""
        self._settings = settings
        self._action = action
        self._actor = actor
        self.purpose = purpose
        self._connected = connected or (lambda: connect(settings))
        self._clock = clock or SystemClock()
        self._key: SigningKey | None = None
        self._about: dict[str, Value] = {}
        self._written: Line | None = None
        self._finished: Outcome | None = None

    def add_subject(self, *, persons: Iterable[int] = (), **details: SubjectValue) -> None:
        """Add ids, filters and numbers that the access is about; lists are extended.

        `persons` are global ids; 0 is ignored.
        """
        global_ids = sorted({person for person in persons if person})
        if len(global_ids) > MAX_PERSONS:
            details["everybody"] = len(global_ids)
        elif global_ids:
            details["persons"] = global_ids
        for name, value in details.items():
            if value is None:
                continue
            plain = _plain(value)
            before = self._about.get(name)
            if isinstance(before, list) and isinstance(plain, list):
                plain = sorted({*before, *plain}, key=str)
            self._about[name] = plain

    def add_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add the persons of rows that are shown, and their number."""
        shown_rows = list(rows)
        self.add_subject(persons=map(person_in, shown_rows), rows=len(shown_rows))

    def write_entry(self, cursor: Cursor, persons: Iterable[int]) -> None:
        """Write the entry in the cursor's transaction, as its last statement."""
        self._about.pop("persons", None)
        self.add_subject(persons=persons)
        self._written = self._append(cursor, "done")

    def finish(self, outcome: Outcome) -> None:
        """Write the entry unless the trail has it with this outcome; move the anchor.

        Raises SightlineError and psycopg.Error if the entry cannot be written, InfrastructureError
        if the home cannot.
        """
        if self._finished == outcome:
            return
        with self._connected() as db:
            written = self._written
            if written is None or outcome != "done" or not contains_head(db, written.head):
                with db.transaction(), db.cursor() as cursor:
                    written = self._append(cursor, outcome)
            db.commit()
            self._written = written
            Anchor(self._settings, self._signer()).move(db, written.head)
            db.commit()
        self._finished = outcome

    def _append(self, cursor: Cursor, outcome: Outcome) -> Line:
        content = Entry(
            at=to_datetime(self._clock.now_us()),
            actor_kind=self._actor.kind,
            actor_id=self._actor.id,
            actor_name=self._actor.name,
            role=str(self._actor.role),
            address=self._actor.address,
            action=self._action,
            about=self._about,
            purpose=self.purpose,
            outcome=outcome,
        )
        return append(cursor, content, self._signer())

    def _signer(self) -> SigningKey:
        self._key = self._key or signing_key(self._settings)
        return self._key


def append(cursor: Cursor, content: Entry, key: SigningKey) -> Line:
    """Append a line to the trail, which is locked until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (AdvisoryLock.AUDIT_TRAIL,))
    cursor.execute("SELECT line, hash FROM public.audit ORDER BY line DESC LIMIT 1")
    row = cursor.fetchone()
    number, previous = (row[0] + 1, bytes(row[1])) if row else (1, GENESIS_HASH)
    digest = line_hash(number, content, previous)
    line = Line(number, content, previous, digest, key.key_id, key.sign(digest))
    values = asdict(content) | {"about": json.dumps(content.about)}
    cursor.execute(
        _INSERT,
        (number, *values.values(), previous, digest, line.key_id, line.signature),
    )
    return line


def begin_recording(recording: Recording) -> None:
    """Make a recording the current one, for callers that finish it elsewhere."""
    _current.set(recording)


@contextmanager
def record_access(recording: Recording) -> Iterator[Recording]:
    """Record the access while inside; an exception is recorded as its outcome."""
    token = _current.set(recording)
    try:
        yield recording
    except SightlineError:
        _finish_failed(recording, "refused")
        raise
    except BaseException:
        _finish_failed(recording, "failed")
        raise
    else:
        recording.finish("done")
    finally:
        _current.reset(token)


def _finish_failed(recording: Recording, outcome: Outcome) -> None:
    """Write the entry of a failed access if possible; the access's own exception is raised.

    While the database does not answer, or has no tables, nothing was read of it either.
    """
    try:
        recording.finish(outcome)
    except (SightlineError, InfrastructureError, psycopg.Error) as error:
        log.info("not in the audit trail: %s", first_line(error))


def write_entry(cursor: Cursor, *persons: int) -> None:
    """Write the current recording's entry, if any, as the last statement of a transaction."""
    recording = _current.get()
    if recording is not None:
        recording.write_entry(cursor, persons)


def purpose() -> str | None:
    """Return the purpose of the current recording, if any."""
    recording = _current.get()
    return recording.purpose if recording is not None else None


def add_subject(*, persons: Iterable[int] = (), **details: SubjectValue) -> None:
    """Add to the current recording, if any: see `Recording.add_subject`."""
    recording = _current.get()
    if recording is not None:
        recording.add_subject(persons=persons, **details)


def add_read_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """Add the persons of rows that are read to the current recording, if any."""
    recording = _current.get()
    if recording is not None:
        recording.add_rows(rows)


def write_before_showing(
    rows: Iterable[Mapping[str, Any]] | None = None,
    /,
    *,
    persons: Iterable[int] = (),
    **details: SubjectValue,
) -> None:
    """Write the current recording's entry, if any, before rows are shown."""
    recording = _current.get()
    if recording is not None:
        recording.add_subject(persons=persons, **details)
        if rows is not None:
            recording.add_rows(rows)
        recording.finish("done")


def person_in(row: Mapping[str, Any]) -> int:
    """Return the global id of a row's person; 0 for a row without a person."""
    if row.get("global_id"):
        return int(row["global_id"])
    employee = row.get("employee_id") or row.get("person_id")
    return global_id(str(employee)) if employee else 0


def _plain(value: Value | UUID | Sequence[UUID]) -> Value:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str | int):
        return value
    return [str(element) if isinstance(element, UUID) else element for element in value]
