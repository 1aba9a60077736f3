"""What the tests of the sinks share: messages of a small world, and a way to write them."""

import atexit
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
from google.protobuf.message import Message
from psycopg.rows import dict_row

from schemas import sightline_pb2 as pb
from schemas.ids import global_id, motion_event_id, sighting_id, track_id
from schemas.topics import MOTION_EVENTS, SIGHTINGS, SNAPSHOTS, TRACKS
from sightline.runtime.clock import US_PER_SECOND, to_datetime, to_us
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Cursor, SettingsConnection, connect
from sightline.streaming.records import Record
from sightline.streaming.topic_reader import fetch_end_offsets
from sinks.promotion_router import PromotionRouter
from sinks.runtime.loop import SinkLoop
from sinks.runtime.postgres import PostgresSink
from sinks.runtime.sink import DecodedRecord
from sinks.snapshots import Snapshots
from tests.least_rights import as_service


def _recent() -> datetime:
    """Return a moment 1 to 13 hours ago, far from midnight: sinks forget what is days old."""
    latest = datetime.now(UTC) - timedelta(hours=1)
    at_noon = latest.replace(hour=10, minute=15, second=30, microsecond=250_000)
    moments = [at_noon + timedelta(hours=hours) for hours in (-12, 0, 12)]
    return max(moment for moment in moments if moment <= latest)


T0 = to_us(_recent())

_READERS = {
    SIGHTINGS.name: ("access-log", "visitor-log", "snapshots", "person-state"),
    MOTION_EVENTS.name: ("visitor-log",),
    TRACKS.name: ("visitor-log", "person-state"),
    SNAPSHOTS.name: ("snapshots",),
}

FACE = np.full(4, 0.5, "<f4").tobytes()


def at(seconds: float) -> int:
    return T0 + round(seconds * US_PER_SECOND)


def stamp(seconds: float) -> str:
    """Return the time of a moment as it stands in the key of a picture, day first."""
    moment = to_datetime(at(seconds))
    return f"{moment:%Y-%m-%d_%H-%M-%S}.{moment.microsecond // 1000:03d}"


@contextmanager
def at_work(settings: Settings, sinks: Sequence[PostgresSink]) -> Iterator[None]:
    """Sinks at work, each in a thread with its own rights; what ends one of them fails the test."""
    stop = Stop(10)
    ends: list[BaseException] = []

    def work(loop: SinkLoop[Connection, Cursor]) -> None:
        try:
            loop.run(stop)
        except BaseException as error:  # noqa: BLE001 - told to the test
            ends.append(error)

    loops = [SinkLoop(sink, as_service(settings, sink.name)) for sink in sinks]
    threads = [threading.Thread(target=work, args=(loop,)) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.request()
        for thread, sink in zip(threads, sinks, strict=True):
            thread.join(60)
            with _closing(sink):
                pass
    assert not ends
    assert not any(thread.is_alive() for thread in threads)


def skip_what_is_there(settings: Settings) -> None:
    """Let the sinks begin behind all that their topics hold, which is other tests'."""
    with connect(settings) as db, db.cursor() as cursor:
        for topic, sinks in _READERS.items():
            ends = fetch_end_offsets(settings, topic)
            cursor.executemany(
                "INSERT INTO sink_offsets (sink, topic, partition, next_offset)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT (sink, topic, partition)"
                " DO UPDATE SET next_offset = excluded.next_offset",
                [(sink, topic, *end) for sink in sinks for end in ends.items()],
            )


class World:
    """A site with one camera of its own, so that tests share a database and no rows."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self.id = uuid4().hex[:8]
        self.site = f"sinks-{self.id}"
        self.camera = self.add_camera("door", entry_point="Main door")

    def add_camera(self, name: str, entry_point: str | None = None, room: str | None = None) -> str:
        camera = f"{name}-{self.id}"
        if room is not None:
            self.db.execute(
                "INSERT INTO rooms (room_id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (room, room),
            )
        self.db.execute(
            "INSERT INTO cameras (camera_id, uri, site_id, fleet, slot, entry_point, room_id)"
            " VALUES (%s, 'none', %s, %s, 0, %s, %s)",
            (camera, self.site, camera, entry_point, room),
        )
        return camera

    def add_employee(self, name: str, *, authorized: bool = True) -> str:
        employee = str(uuid4())
        self.db.execute(
            "INSERT INTO employees (id, global_id, name, is_authorized) VALUES (%s, %s, %s, %s)",
            (employee, global_id(employee), f"{name} {self.id}", authorized),
        )
        return employee

    def name_of(self, employee: str) -> str:
        row = self.one("SELECT name FROM employees WHERE id = %s", employee)
        return str(row["name"])

    def track(self, start: float = 0, camera: str | None = None) -> str:
        return track_id(camera or self.camera, at(start), 0)

    def event(self, start: float = 0, camera: str | None = None) -> str:
        return motion_event_id(camera or self.camera, at(start))

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self.db.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> dict[str, Any]:
        (row,) = self.rows(query, *values)
        return row

    def sighting(
        self,
        status: "pb.Sighting.Status" = pb.Sighting.CONFIRMED,
        *,
        start: float = 0,
        decided: float = 1,
        employee: str | None = None,
        stranger: str | None = None,
        epoch: int = 0,
        confidence: float = 0.9,
        camera: str | None = None,
        **more: Any,
    ) -> pb.Sighting:
        """A decision on the track that began at `start`: an employee, a stranger or nobody."""
        camera = camera or self.camera
        track = self.track(start, camera)
        seed = employee or (stranger and stranger + self.id)
        message = pb.Sighting(
            sighting_id=sighting_id(track, epoch),
            status=status,
            track_id=track,
            track_number=7,
            epoch=epoch,
            camera_id=camera,
            site_id=self.site,
            motion_event_id=self.event(0, camera),
            global_id=global_id(seed) if seed else 0,
            score=0.7,
            threshold=0.5,
            confidence=confidence,
            pack="test-pack",
            first_seen_us=at(start),
            decided_at_us=at(decided),
            frame=pb.Position(topic="frames.default", partition=3, offset=42),
            width=200,
            height=100,
            track_box=pb.Box(x1=40, y1=10, x2=60, y2=75),
            face_box=pb.Box(x1=45, y1=12, x2=55, y2=24),
            face_quality=0.8,
            template=FACE if seed else b"",
        )
        if employee:
            row = self.one("SELECT name, is_authorized FROM employees WHERE id = %s", employee)
            message.person_id = employee
            message.name = row["name"]
            message.is_authorized = row["is_authorized"]
        for field, value in more.items():
            setattr(message, field, value)
        return message

    def frame(
        self,
        seconds: float,
        boxes: Sequence[tuple[float, tuple[float, float, float, float]]] = (),
        *,
        camera: str | None = None,
        event: float = 0,
        last: bool = False,
    ) -> pb.FrameTracks:
        """A frame with boxes of the tracks that began at given times."""
        camera = camera or self.camera
        return pb.FrameTracks(
            camera_id=camera,
            site_id=self.site,
            captured_at_us=at(seconds),
            motion_event_id=self.event(event, camera),
            last_in_event=last,
            width=200,
            height=100,
            tracks=[
                pb.TrackBox(
                    track_id=self.track(start, camera),
                    track_number=7,
                    box=pb.Box(x1=box[0], y1=box[1], x2=box[2], y2=box[3]),
                    score=0.9,
                )
                for start, box in boxes
            ],
        )

    def motion(
        self, kind: "pb.MotionEvent.Kind", start: float, seconds: float | None = None
    ) -> pb.MotionEvent:
        ended = kind == pb.MotionEvent.ENDED
        return pb.MotionEvent(
            event_id=self.event(start),
            camera_id=self.camera,
            site_id=self.site,
            kind=kind,
            started_at_us=at(start),
            at_us=at(start if seconds is None else seconds),
            first_sequence=10,
            last_sequence=19 if ended else 0,
            frames=10 if ended else 0,
        )

    def shot(
        self,
        quality: float = 0.5,
        *,
        start: float = 0,
        captured: float = 0.5,
        epoch: int = 0,
        jpeg: bytes | None = None,
        camera: str | None = None,
    ) -> pb.Snapshot:
        camera = camera or self.camera
        return pb.Snapshot(
            track_id=self.track(start, camera),
            epoch=epoch,
            camera_id=camera,
            site_id=self.site,
            captured_at_us=at(captured),
            jpeg=jpeg or f"picture {start} {quality}".encode(),
            quality=quality,
        )


@contextmanager
def new_world(settings: Settings) -> Iterator[World]:
    """A world on a connection that sees what has been committed."""
    with connect(settings, autocommit=True) as db:
        yield World(db)


def write(
    settings: Settings, sink: PostgresSink, *batches: Iterable[Message], idle: bool = False
) -> None:
    """Let a sink write batches, each in a transaction of its own, as the runner does.

    It has the rights of its service. With `idle` it does all that is due besides.
    """
    with _connected(as_service(settings, sink.name), sink.name) as db, _closing(sink):
        for batch in batches:
            records = taken(sink, batch)
            with db.transaction(), db.cursor() as cursor:
                if records:
                    sink.write(cursor, records)
                if idle:
                    sink.idle(cursor)
            while idle and sink.maintain(db):
                pass


_connections: dict[str, SettingsConnection] = {}
"""A connection for each sink: a sink keeps its own too, and opening one takes most of a write."""


@contextmanager
def _connected(settings: Settings, name: str) -> Iterator[Connection]:
    """A sink's connection, which is opened anew after an error and for other settings."""
    db = _connections.pop(name, None)
    if db is not None and not _serves(db, settings):
        db.close()
        db = None
    if db is None:
        opened = connect(settings)
        assert isinstance(opened, SettingsConnection)
        db = opened
    try:
        yield db
        db.commit()
    except BaseException:
        db.close()
        raise
    if other := _connections.pop(name, None):  # of another thread
        other.close()
    _connections[name] = db


def _serves(db: SettingsConnection, settings: Settings) -> bool:
    """Whether the server still answers, and all keys are there as if it were opened now."""
    if db.settings != settings:
        return False
    try:
        db.prepare()
    except psycopg.OperationalError:
        return False
    return True


@atexit.register
def _close_all() -> None:
    for db in _connections.values():
        db.close()


@contextmanager
def _closing(sink: PostgresSink) -> Iterator[None]:
    """Close the connection that a sink may have of its own; it opens one again when it has to."""
    try:
        yield
    finally:
        inner = sink._sink if isinstance(sink, PromotionRouter) else sink
        if isinstance(inner, Snapshots):
            inner.close()


def taken(sink: PostgresSink, batch: Iterable[Message]) -> list[DecodedRecord]:
    """Messages as the runner hands them to a sink."""
    return [DecodedRecord(_record(sink, message), message) for message in batch]


def _record(sink: PostgresSink, message: Message) -> Record:
    (topic,) = (topic for topic, kind in sink.topics.items() if isinstance(message, kind))
    return Record(topic, 0, 0, None, message.SerializeToString(), 0)
