"""Writing the trail: one line at a time, in the transaction of what it tells where there is one.

Whoever is recorded has a `Recording`, which everything that is done for them can add to: commands
and routes begin one, and who changes data calls `seal` as the last thing of the transaction.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from schemas.ids import global_id
from sightline.audit.actor import Actor
from sightline.audit.anchor import Anchor, has
from sightline.audit.chain import FIRST, Line, Outcome, Said, Scalar, Value, hash_of
from sightline.audit.keys import Signer, signer
from sightline.runtime.clock import Clock, SystemClock, to_datetime
from sightline.runtime.errors import InfrastructureError, SightlineError, first_line
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect

log = logging.getLogger(__name__)

Cursor = psycopg.Cursor[TupleRow]
Given = Value | UUID | Sequence[UUID] | None
Connect = Callable[[], AbstractContextManager[Connection]]

MAX_PURPOSE = 500
"""Characters of a purpose."""

MAX_PERSONS = 1000
"""In one line; of more it says that it is about everybody, and how many."""

_LOCK = 0x516874_A0D1
"""Advisory lock: one line at a time. Last of all locks."""

_INSERT = """
INSERT INTO public.audit (line, at, actor_kind, actor_id, actor_name, role, address, action, about,
    purpose, outcome, previous, hash, key_id, signature)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

_current: ContextVar["Recording | None"] = ContextVar("recording", default=None)


def checked_purpose(purpose: str | None, settings: Settings) -> str | None:
    """Why somebody does something, tidied. Raises SightlineError where it has to be said."""
    tidy = " ".join((purpose or "").split())
    if not tidy and settings.audit.purpose_required:
        raise SightlineError("say what for: --purpose, over HTTP the header X-Purpose")
    if len(tidy) > MAX_PURPOSE or not tidy.isprintable():
        raise SightlineError(f"a purpose has at most {MAX_PURPOSE} characters, all printable")
    return tidy or None


class Recording:
    """One thing that somebody does, until the trail has it."""

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
        """`connected`: gives a connection of its own; without one it makes one."""
        self._settings = settings
        self._action = action
        self._actor = actor
        self.purpose = purpose
        self._connected = connected or (lambda: connect(settings))
        self._clock = clock or SystemClock()
        self._key: Signer | None = None
        self._about: dict[str, Value] = {}
        self._written: Line | None = None
        self._finished: Outcome | None = None

    def about(self, *, persons: Iterable[int] = (), **what: Given) -> None:
        """Say what it is about: ids, filters and numbers. Lists are added to.

        `persons`: whom, by global ids; 0 is nobody.
        """
        found = sorted({person for person in persons if person})
        if len(found) > MAX_PERSONS:
            what["everybody"] = len(found)
        elif found:
            what["persons"] = found
        for name, value in what.items():
            if value is None:
                continue
            plain = _plain(value)
            before = self._about.get(name)
            if isinstance(before, list) and isinstance(plain, list):
                plain = sorted({*before, *plain}, key=str)
            self._about[name] = plain

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Say whom rows that are shown are about, and how many they are."""
        found = list(rows)
        self.about(persons=map(person_in, found), rows=len(found))

    def seal(self, cursor: Cursor, persons: Iterable[int]) -> None:
        """Write a line in the cursor's transaction, as the last thing that it does."""
        self._about.pop("persons", None)
        self.about(persons=persons)
        self._written = self._append(cursor, "done")

    def finish(self, outcome: Outcome) -> None:
        """See that the trail has it, and with this outcome; note the end of the trail.

        Raises SightlineError and psycopg.Error where it cannot be written, InfrastructureError
        where the home cannot.
        """
        if self._finished == outcome:
            return
        with self._connected() as db:
            written = self._written
            if written is None or outcome != "done" or not has(db, written.head):
                with db.transaction(), db.cursor() as cursor:
                    written = self._append(cursor, outcome)
            db.commit()
            self._written = written
            Anchor(self._settings, self._signer()).move(db, written.head)
            db.commit()
        self._finished = outcome

    def _append(self, cursor: Cursor, outcome: Outcome) -> Line:
        said = Said(
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
        return append(cursor, said, self._signer())

    def _signer(self) -> Signer:
        self._key = self._key or signer(self._settings)
        return self._key


def append(cursor: Cursor, said: Said, key: Signer) -> Line:
    """Add a line to the trail. From here on nobody else can until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    cursor.execute("SELECT line, hash FROM public.audit ORDER BY line DESC LIMIT 1")
    row = cursor.fetchone()
    number, previous = (row[0] + 1, bytes(row[1])) if row else (1, FIRST)
    digest = hash_of(number, said, previous)
    line = Line(number, said, previous, digest, key.key_id, key.sign(digest))
    cursor.execute(
        _INSERT,
        (
            line.line,
            said.at,
            said.actor_kind,
            said.actor_id,
            said.actor_name,
            said.role,
            said.address,
            said.action,
            json.dumps(said.about),
            said.purpose,
            said.outcome,
            line.previous,
            line.hash,
            line.key_id,
            line.signature,
        ),
    )
    return line


def begin(recording: Recording) -> None:
    """Record what is done from here on: for who has no end to give, as a request's dependency."""
    _current.set(recording)


@contextmanager
def recorded(recording: Recording) -> Iterator[Recording]:
    """Record what is done within; a failure is written down as one."""
    before = _current.set(recording)
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
        _current.reset(before)


def _finish_failed(recording: Recording, outcome: Outcome) -> None:
    """Write a failure down where that is possible; why it failed is what is told.

    While the database is away, or has no tables, nothing was read of it either.
    """
    try:
        recording.finish(outcome)
    except (SightlineError, InfrastructureError, psycopg.Error) as error:
        log.info("not in the audit trail: %s", first_line(error))


def seal(cursor: Cursor, *persons: int) -> None:
    """Write down what this transaction does, where somebody is recorded: its last statement."""
    recording = _current.get()
    if recording is not None:
        recording.seal(cursor, persons)


def purpose() -> str | None:
    """What for, where somebody is recorded who has said it."""
    recording = _current.get()
    return recording.purpose if recording is not None else None


def about(*, persons: Iterable[int] = (), **what: Given) -> None:
    """Say what it is about, where somebody is recorded."""
    recording = _current.get()
    if recording is not None:
        recording.about(persons=persons, **what)


def seen(rows: Iterable[Mapping[str, Any]]) -> None:
    """Say whom rows that are read are about, where somebody is recorded."""
    recording = _current.get()
    if recording is not None:
        recording.rows(rows)


def shown(
    rows: Iterable[Mapping[str, Any]] | None = None,
    /,
    *,
    persons: Iterable[int] = (),
    **what: Given,
) -> None:
    """Write down that these rows are shown, or what this is about, before it is."""
    recording = _current.get()
    if recording is not None:
        recording.about(persons=persons, **what)
        if rows is not None:
            recording.rows(rows)
        recording.finish("done")


def person_in(row: Mapping[str, Any]) -> int:
    """The global id of the person that a row is about; 0 where it is about nobody."""
    if row.get("global_id"):
        return int(row["global_id"])
    employee = row.get("employee_id") or row.get("person_id")
    return global_id(str(employee)) if employee else 0


def _plain(value: Value | UUID | Sequence[UUID]) -> Value:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str | int):
        return value
    return [_scalar(one) for one in value]


def _scalar(value: Scalar | UUID) -> Scalar:
    return str(value) if isinstance(value, UUID) else value
