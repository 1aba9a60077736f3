"""A camera's spool: an SQLite file with its frame account and the frames not yet in Kafka.

Every frame to be published is stored together with its count before it is sent, and is deleted in
the transaction that counts it as delivered. So a frame that is not in the file is in the account,
and a frame in the file is sent again unless Kafka has it (`delivery_reconciliation.py`).

The write-ahead log is synced at checkpoints only: a kill loses nothing, a power cut loses the last
seconds but never the file.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from producers import spool_sql as sql
from producers.event_cutter import Event
from producers.frame_accounting import SPOOL_FOLDER, SPOOL_SUFFIX, FrameCounts, account_of
from schemas import sightline_pb2 as pb
from sightline.runtime import metrics
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.file_locks import try_lock

_FREE_PAGES: Final = 4096
"""Number of free pages (of 4 KiB) that a file keeps; more are returned to the file system."""

_VACUUM_PAGES: Final = 1024

Kind = pb.MotionEvent.Kind


class DiskError(InfrastructureError):
    """A spool that cannot be written or read: the disk is full, or broken."""


class FrameKey(NamedTuple):
    """The identity of a frame among the frames of its camera."""

    sequence: int
    captured_at_us: int


class UnconfirmedOffset(NamedTuple):
    """The offset of a partition from which on it may hold frames that are not confirmed here."""

    topic: str
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """Position of a camera's reader; written in one transaction with its frames and counts."""

    generation: int | None = None
    cluster: str | None = None  # id of the Kafka cluster; None for a live camera
    start_us: int | None = None  # capture time of a film's first picture
    pictures: int = 0  # number of pictures read
    sequence: int = 0  # of the newest picture
    held: int = 0  # number of pictures that wait for a motion to begin


@dataclass(frozen=True, slots=True)
class SpooledFrame:
    """A frame that Kafka has not confirmed yet."""

    number: int
    captured_at_us: int
    value: bytes  # serialized pb.Frame


class Spool:
    """The file of a camera, used by one thread of one process. Its methods raise DiskError."""

    def __init__(self, home: Path, camera_id: str) -> None:
        folder = home / SPOOL_FOLDER
        self._camera_id = camera_id
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = try_lock(folder / f"{camera_id}.lock")
                if lock is not None:
                    stack.enter_context(lock)
                    self._db = sql.open_file(folder / f"{camera_id}{SPOOL_SUFFIX}")
                    stack.callback(self._db.close)
                    self._load()
            except (OSError, sqlite3.OperationalError) as error:
                raise DiskError(f"{folder / camera_id}{SPOOL_SUFFIX}: {error}") from error
            except sqlite3.DatabaseError as error:
                raise DiskError(
                    f"{folder / camera_id}{SPOOL_SUFFIX} is broken: remove it"
                ) from error
            if lock is None:
                raise InfrastructureError(f"another process reads the camera {camera_id}")
            self._opened = stack.pop_all()

    def _load(self) -> None:
        self.account = account_of(self._db)
        [row] = self._query(
            "SELECT generation, cluster, start_us, pictures, sequence, held, kept, topic, part,"
            " next_offset FROM camera"
        )
        self.position = ReadPosition(*row[:6])
        self._kept_number: int = row[6]
        self.unconfirmed_offset = None if row[7] is None else UnconfirmedOffset(*row[7:])
        # Sizes in bytes of the frames that wait, by number, oldest first.
        self._sizes: dict[int, int] = dict(
            self._query("SELECT id, size FROM frames WHERE id <> ? ORDER BY id", self._kept_number)
        )
        self.bytes = sum(self._sizes.values())
        # Never decreases: a reused number could be mistaken for a frame in flight.
        self._newest_number = max([*self._sizes, self._kept_number])

    def close(self) -> None:
        """Close the file and release its lock."""
        self._opened.close()

    def put(
        self,
        frames: Sequence[pb.Frame],
        event: Event | None,
        counts: FrameCounts,
        position: ReadPosition,
    ) -> None:
        """Store frames of an event, the counts and the position in one transaction.

        Empties the tally; changes nothing when it raises DiskError.
        """
        rows = [
            _frame_row(number, frame)
            for number, frame in enumerate(frames, self._newest_number + 1)
        ]
        with self._transaction():
            self._db.execute(sql.COUNT, (counts.captured, *astuple(position)))
            self._db.executemany(sql.DROP, counts.dropped.items())
            if event is not None:
                # One event is open at a time, even if the previous one's end was not stored.
                self._db.execute("UPDATE events SET ended = 1 WHERE NOT ended")
                self._db.execute(sql.PUT_EVENT, astuple(event)[:-1])
            if rows:
                self._db.execute("DELETE FROM frames WHERE id = ?", (self._kept_number,))
                self._db.execute("UPDATE camera SET kept = 0")
                self._db.executemany(sql.PUT_FRAME, rows)
        if rows:
            self._kept_number = 0
            self._newest_number += len(rows)
            sizes = {number: size for number, *_, size, _value in rows}
            self._sizes |= sizes
            self.bytes += sum(sizes.values())
        self.account.captured += counts.captured
        self.account.waiting += len(rows) + position.held - self.position.held
        self.position = position
        metrics.FRAMES_CAPTURED.labels(self._camera_id).inc(counts.captured)
        self._count_dropped(counts.dropped)
        counts.clear()

    def _count_dropped(self, dropped: dict[str, int]) -> None:
        for reason, frames in dropped.items():
            self.account.dropped[reason] += frames
            metrics.FRAMES_DROPPED.labels(self._camera_id, reason).inc(frames)
        metrics.FRAMES_WAITING.labels(self._camera_id).set(self.account.waiting)

    def has_after(self, number: int) -> bool:
        """Return True if a frame with a higher number waits."""
        return next(reversed(self._sizes), 0) > number

    def after(self, number: int, frames: int) -> list[SpooledFrame]:
        """Return the oldest waiting frames with a higher number, at most `frames`."""
        return [
            SpooledFrame(*row) for row in self._query(sql.AFTER, number, self._kept_number, frames)
        ]

    def deliver(self, numbers: Sequence[int], unconfirmed_offset: UnconfirmedOffset) -> None:
        """Count frames as delivered, delete them, and store the new unconfirmed offset.

        The newest frame of an open event is kept: it may have to be published again as the last.
        """
        kept_number = self._kept_number
        with self._transaction():
            self._db.executemany(sql.COUNT_EVENT, [(number,) for number in numbers])
            if self._newest_number in numbers:
                [[last]] = self._query(
                    "SELECT is_last FROM frames WHERE id = ?", self._newest_number
                )
                kept_number = 0 if last else self._newest_number
            deleted = [(number,) for number in numbers if number != kept_number]
            self._db.executemany("DELETE FROM frames WHERE id = ?", deleted)
            self._db.execute(sql.DELIVERED, (len(numbers), kept_number, *unconfirmed_offset))
        self._kept_number, self.unconfirmed_offset = kept_number, unconfirmed_offset
        self._remove_waiting(numbers)
        self.account.delivered += len(numbers)
        metrics.FRAMES_DELIVERED.labels(self._camera_id).inc(len(numbers))
        self._count_dropped({})

    def drop(self, numbers: Sequence[int], reason: str) -> None:
        """Delete frames and count them as dropped for a reason."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM frames WHERE id = ?", [(number,) for number in numbers]
            )
            self._db.execute(sql.DROP, (reason, len(numbers)))
        self._remove_waiting(numbers)
        self._count_dropped({reason: len(numbers)})

    def _remove_waiting(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.bytes -= self._sizes.pop(number)
        self.account.waiting -= len(numbers)

    def oldest_after(self, number: int, *, ends: bool) -> int | None:
        """Return the number of the oldest waiting frame after this one, or None.

        An event's first and last frames mark the start and end of its tracks: they are returned
        only with `ends`, and if there is no other.
        """
        for query in (sql.OLDEST_BETWEEN, sql.OLDEST) if ends else (sql.OLDEST_BETWEEN,):
            [[oldest]] = self._query(query, number)
            if oldest is not None:
                return int(oldest)
        return None

    def oldest_numbers(self, size: int) -> dict[FrameKey, int]:
        """Return the numbers of the oldest waiting frames, of about `size` bytes in all."""
        numbers: dict[FrameKey, int] = {}
        for number, sequence, at_us, frame_size in self._query(sql.MARKS, self._kept_number):
            if size <= 0:
                break
            size -= frame_size
            numbers[FrameKey(sequence, at_us)] = number
        return numbers

    def pending_announcements(self) -> list[tuple[Kind, Event]]:
        """Return announcements to publish: starts, and ends of events without waiting frames."""
        rows = self._query(sql.PENDING_ANNOUNCEMENTS, self._kept_number)
        return [(kind, _event(row)) for kind, *row in rows]

    def mark_published(self, kind: Kind, event_id: str) -> None:
        """Mark an event's announcement as confirmed by Kafka."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM events WHERE event_id = ?"
                if kind == pb.MotionEvent.ENDED
                else "UPDATE events SET started_said = 1 WHERE event_id = ?",
                (event_id,),
            )

    def end_event(self) -> None:
        """End the event that an earlier process has left open.

        Its last picture is published again as the last one, one microsecond later. Pictures that
        waited for a motion to begin are dropped.
        """
        tally = FrameCounts()
        tally.drop("stopped", self.position.held)
        position = replace(self.position, held=0)
        open_events = self._query(f"SELECT {sql.EVENT} FROM events WHERE NOT ended")  # noqa: S608
        if not open_events:
            self.put([], None, tally, position)
            return
        event = replace(_event(open_events[0]), ended=True)
        frames: list[pb.Frame] = []
        if last_frame := self._query(sql.LAST_OF_EVENT, event.event_id):  # else all were dropped
            tally.capture(1)
            position = replace(position, sequence=position.sequence + 1)
            event = replace(event, last_at_us=event.last_at_us + 1, last_sequence=position.sequence)
            frames = [_as_last_frame(last_frame[0][0], event)]
        self.put(frames, event, tally, position)

    def shrink(self) -> None:
        """Return free pages to the file system step by step, after many frames had to wait."""
        [[free]] = self._query("PRAGMA freelist_count")
        if free <= _FREE_PAGES:
            return
        try:  # as a script: a cursor would return one page and stop
            self._db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        except sqlite3.Error as error:
            raise DiskError(f"{self._camera_id}: {error}") from error

    def _query(self, query: str, *values: int | str) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise DiskError(f"{self._camera_id}: {error}") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise DiskError(f"{self._camera_id}: {error}") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _frame_row(number: int, frame: pb.Frame) -> tuple[int, str, int, int, bool, bool, int, bytes]:
    value = frame.SerializeToString()
    return (
        number, frame.motion_event_id, frame.sequence, frame.captured_at_us,
        frame.first_in_event, frame.last_in_event, len(value), value,
    )  # fmt: skip


def _event(row: Sequence[Any]) -> Event:
    event_id, started_at_us, first, last_at_us, last, ended, delivered = row
    return Event(event_id, started_at_us, first, last_at_us, last, bool(ended), delivered)


def _as_last_frame(value: bytes, event: Event) -> pb.Frame:
    frame = pb.Frame.FromString(value)
    frame.sequence, frame.captured_at_us = event.last_sequence, event.last_at_us
    frame.first_in_event, frame.last_in_event = False, True
    return frame
