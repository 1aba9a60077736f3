"""A camera's file: its account, and what of it is not in Kafka yet. It survives any kill.

Every frame that is to be published is here before it is sent, together with the count of it, and
goes in the transaction that counts it as delivered. So whatever is not here has its place in the
account, and what is here is sent again, unless Kafka has it (`tail.py`).

A write-ahead log that is synced only now and then: a kill loses nothing, a power cut the last
seconds, and never the file.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from producers import spool_sql as sql
from producers.events import Event
from producers.ledger import FOLDER, SUFFIX, Tally, account_of
from schemas import sightline_pb2 as pb
from sightline.runtime import metrics
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.file_locks import try_lock

_FREE_PAGES: Final = 4096
"""Free pages (of 4 KiB) that a file keeps; more are given back to the disk."""

_PAGES_AT_ONCE: Final = 1024

Kind = pb.MotionEvent.Kind


class DiskError(InfrastructureError):
    """The file takes nothing more: the disk is full, or broken."""


class Mark(NamedTuple):
    """What tells a frame of a camera from its other ones."""

    sequence: int
    captured_at_us: int


class Tail(NamedTuple):
    """From where on a partition may hold frames of which it is not written here that it does."""

    topic: str
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a camera has been read; written with its frames and counts, all or nothing."""

    generation: int | None = None
    cluster: str | None = None  # Kafka's; None where it does not matter
    start_us: int | None = None  # capture time of a film's first picture
    pictures: int = 0  # that have been read
    sequence: int = 0  # of the newest one
    held: int = 0  # that wait for a motion to begin


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame that is not in Kafka yet."""

    number: int
    captured_at_us: int
    value: bytes  # pb.Frame


class Spool:
    """One camera's file, used by one thread of one process. Raises DiskError when it fails."""

    def __init__(self, home: Path, camera_id: str) -> None:
        folder = home / FOLDER
        self._camera_id = camera_id
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = try_lock(folder / f"{camera_id}.lock")
                if lock is not None:
                    stack.enter_context(lock)
                    self._db = sql.open_file(folder / f"{camera_id}{SUFFIX}")
                    stack.callback(self._db.close)
                    self._load()
            except (OSError, sqlite3.OperationalError) as error:
                raise DiskError(f"{folder / camera_id}{SUFFIX}: {error}") from error
            except sqlite3.DatabaseError as error:
                raise DiskError(f"{folder / camera_id}{SUFFIX} is broken: remove it") from error
            if lock is None:
                raise InfrastructureError(f"another process reads the camera {camera_id}")
            self._opened = stack.pop_all()

    def _load(self) -> None:
        self.account = account_of(self._db)
        [row] = self._ask(
            "SELECT generation, cluster, start_us, pictures, sequence, held, kept, topic, part,"
            " next_offset FROM camera"
        )
        self.position = Position(*row[:6])
        self._kept: int = row[6]
        self.tail = None if row[7] is None else Tail(*row[7:])
        # Of the frames that wait, by number, oldest first.
        self._sizes: dict[int, int] = dict(
            self._ask("SELECT id, size FROM frames WHERE id <> ? ORDER BY id", self._kept)
        )
        self.bytes = sum(self._sizes.values())
        # Never goes back, or a frame would be taken for one that is being sent.
        self._newest = max([*self._sizes, self._kept])

    def close(self) -> None:
        """Let go of the file."""
        self._opened.close()

    def put(
        self, frames: Sequence[pb.Frame], event: Event | None, tally: Tally, position: Position
    ) -> None:
        """Take in frames of an event, and what has been counted meanwhile.

        Empties the tally; leaves everything as it was when it raises DiskError.
        """
        rows = [_frame_row(number, frame) for number, frame in enumerate(frames, self._newest + 1)]
        with self._change():
            self._db.execute(sql.COUNT, (tally.captured, *_position_row(position)))
            self._db.executemany(sql.DROP, tally.dropped.items())
            if event is not None:
                # One at a time, also where the end of the one before has found no room.
                self._db.execute("UPDATE events SET ended = 1 WHERE NOT ended")
                self._db.execute(sql.PUT_EVENT, _event_row(event))
            if rows:
                self._db.execute("DELETE FROM frames WHERE id = ?", (self._kept,))
                self._db.execute("UPDATE camera SET kept = 0")
                self._db.executemany(sql.PUT_FRAME, rows)
        if rows:
            self._kept = 0
            self._newest += len(rows)
            sizes = {number: size for number, *_, size, _value in rows}
            self._sizes |= sizes
            self.bytes += sum(sizes.values())
        self.account.captured += tally.captured
        self.account.waiting += len(rows) + position.held - self.position.held
        self.position = position
        metrics.FRAMES_CAPTURED.labels(self._camera_id).inc(tally.captured)
        self._tell(tally.dropped)
        tally.clear()

    def _tell(self, dropped: dict[str, int]) -> None:
        for reason, frames in dropped.items():
            self.account.dropped[reason] += frames
            metrics.FRAMES_DROPPED.labels(self._camera_id, reason).inc(frames)
        metrics.FRAMES_WAITING.labels(self._camera_id).set(self.account.waiting)

    def has_after(self, number: int) -> bool:
        """Whether a frame waits behind this one."""
        return next(reversed(self._sizes), 0) > number

    def after(self, number: int, frames: int) -> list[Waiting]:
        """The oldest frames that wait behind this one, at most so many."""
        return [Waiting(*row) for row in self._ask(sql.AFTER, number, self._kept, frames)]

    def deliver(self, numbers: Sequence[int], tail: Tail) -> None:
        """Kafka has these frames, and everything before an offset is accounted for.

        The last frame of an event that goes on is kept: it may have to be said once more.
        """
        keep = self._kept
        with self._change():
            self._db.executemany(sql.COUNT_EVENT, [(number,) for number in numbers])
            if self._newest in numbers:
                [[last]] = self._ask("SELECT is_last FROM frames WHERE id = ?", self._newest)
                keep = 0 if last else self._newest
            gone = [(number,) for number in numbers if number != keep]
            self._db.executemany("DELETE FROM frames WHERE id = ?", gone)
            self._db.execute(sql.DELIVERED, (len(numbers), keep, *tail))
        self._kept, self.tail = keep, tail
        self._forget(numbers)
        self.account.delivered += len(numbers)
        metrics.FRAMES_DELIVERED.labels(self._camera_id).inc(len(numbers))
        self._tell({})

    def drop(self, numbers: Sequence[int], reason: str) -> None:
        """These frames will not be delivered."""
        with self._change():
            self._db.executemany(
                "DELETE FROM frames WHERE id = ?", [(number,) for number in numbers]
            )
            self._db.execute(sql.DROP, (reason, len(numbers)))
        self._forget(numbers)
        self._tell({reason: len(numbers)})

    def _forget(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.bytes -= self._sizes.pop(number)
        self.account.waiting -= len(numbers)

    def oldest_after(self, number: int, *, ends: bool) -> int | None:
        """The oldest frame that waits behind this one; an event's first or last only with `ends`,
        and where there is no other, because they say when its tracks begin and end."""
        for query in (sql.OLDEST_BETWEEN, sql.OLDEST) if ends else (sql.OLDEST_BETWEEN,):
            [[found]] = self._ask(query, number)
            if found is not None:
                return int(found)
        return None

    def first(self, size: int) -> dict[Mark, int]:
        """The oldest frames that wait, of about so many bytes, and their numbers."""
        found: dict[Mark, int] = {}
        for number, sequence, at_us, of_it in self._ask(sql.MARKS, self._kept):
            if size <= 0:
                break
            size -= of_it
            found[Mark(sequence, at_us)] = number
        return found

    def unsaid(self) -> list[tuple[Kind, Event]]:
        """What is to be said of events: that they have started, and, once none of their frames
        waits any more, that they have ended."""
        found = self._ask(sql.UNSAID, self._kept)
        return [(kind, _event(row)) for kind, *row in found]

    def said(self, kind: Kind, event_id: str) -> None:
        """Kafka has what was to be said of an event."""
        with self._change():
            self._db.execute(
                "DELETE FROM events WHERE event_id = ?"
                if kind == pb.MotionEvent.ENDED
                else "UPDATE events SET started_said = 1 WHERE event_id = ?",
                (event_id,),
            )

    def end_event(self) -> None:
        """End the event that a former life has left open: its last picture is said once more, one
        microsecond later, as its last one. What waited for a motion to begin is dropped."""
        tally = Tally()
        tally.drop("stopped", self.position.held)
        position = replace(self.position, held=0)
        found = self._ask(f"SELECT {sql.EVENT} FROM events WHERE NOT ended")  # noqa: S608
        if not found:
            self.put([], None, tally, position)
            return
        event = replace(_event(found[0]), ended=True)
        frames: list[pb.Frame] = []
        if shown := self._ask(sql.LAST_OF_EVENT, event.event_id):  # else all of it was dropped
            tally.capture(1)
            position = replace(position, sequence=position.sequence + 1)
            event = replace(event, last_at_us=event.last_at_us + 1, last_sequence=position.sequence)
            frames = [_said_again(shown[0][0], event)]
        self.put(frames, event, tally, position)

    def give_back(self) -> None:
        """Make the file smaller, step by step, after a time in which much had to wait."""
        [[free]] = self._ask("PRAGMA freelist_count")
        if free <= _FREE_PAGES:
            return
        try:  # as a script: a cursor would give back one page and stop
            self._db.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
        except sqlite3.Error as error:
            raise DiskError(f"{self._camera_id}: {error}") from error

    def _ask(self, query: str, *values: int | str) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise DiskError(f"{self._camera_id}: {error}") from error

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise DiskError(f"{self._camera_id}: {error}") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _position_row(position: Position) -> tuple[int | str | None, ...]:
    return (
        position.generation, position.cluster, position.start_us, position.pictures,
        position.sequence, position.held,
    )  # fmt: skip


def _frame_row(number: int, frame: pb.Frame) -> tuple[int, str, int, int, bool, bool, int, bytes]:
    value = frame.SerializeToString()
    return (
        number, frame.motion_event_id, frame.sequence, frame.captured_at_us,
        frame.first_in_event, frame.last_in_event, len(value), value,
    )  # fmt: skip


def _event_row(event: Event) -> tuple[str | int, ...]:
    return (
        event.event_id, event.started_at_us, event.first_sequence, event.last_at_us,
        event.last_sequence, event.ended,
    )  # fmt: skip


def _event(row: Sequence[Any]) -> Event:
    event_id, started_at_us, first, last_at_us, last, ended, delivered = row
    return Event(event_id, started_at_us, first, last_at_us, last, bool(ended), delivered)


def _said_again(value: bytes, event: Event) -> pb.Frame:
    frame = pb.Frame.FromString(value)
    frame.sequence, frame.captured_at_us = event.last_sequence, event.last_at_us
    frame.first_in_event, frame.last_in_event = False, True
    return frame
