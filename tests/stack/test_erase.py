"""A person who is erased is found nowhere any more but where the report says, while all goes on."""

import json
import signal
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Producer
from google.protobuf.message import Message
from psycopg import sql

from ops.erasure.erasure import ErasureRequest, erase
from ops.erasure.id_scanner import IdScanner
from ops.erasure.report import ranges
from ops.erasure.topic_search import live_records
from ops.runs.tables import create_schema, drop_schema
from schemas import ids
from schemas import sightline_pb2 as pb
from schemas.topics import (
    FACTS,
    GALLERY,
    MATCH_STATE,
    SIGHTINGS,
    SNAPSHOTS,
    TRACKS,
    all_topics,
    frames,
)
from sightline.people import corrections
from sightline.runtime.errors import SightlineError
from sightline.runtime.fault_injection import FaultPoint as Fault
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.objects import open_store
from sightline.storage.outbox import deliver
from sightline.streaming.client_config import producer_config
from sightline.streaming.records import Record
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.snapshots import Snapshots
from sinks.visitor_log import VisitorLog
from tests.match_support import Walk, enrol_numbers, produce, said, sightings, worker
from tests.stack.commands_support import command, run
from tests.stack.sinks_support import new_world, write
from tests.support import eventually, read_topic, run_sightline

pytestmark = pytest.mark.stack

RUN = "erased"
PHOTO, PICTURE = b"the photo of somebody", b"the picture of somebody"

COMPACTED = {topic.name for topic in all_topics() if topic.compacted}

ERASED_BY_ID = ("audit", "erasures", "erased_persons", "erased_tracks")
"""Tables that know erased people by their ids, and by nothing else."""


class Scene:
    """A site whose walks a matcher has decided and all sinks have written, in a run as well."""

    def __init__(self, stack: Settings) -> None:
        self.stack = stack
        self.id = uuid4().hex[:8]
        self.site = f"erase-{self.id}"
        self.camera = f"erase-door-{self.id}"
        self.name = f"Erasmus Erased {self.id}"
        self.frames: dict[str, pb.Position] = {}  # by track
        with connect(stack) as db:
            db.execute(
                "INSERT INTO cameras (camera_id, uri, site_id, fleet, slot)"
                " VALUES (%s, 'none', %s, %s, 0)",
                (self.camera, self.site, self.camera),
            )

    def walk(self, person: int, at_s: float) -> Walk:
        return Walk(person, self.camera, self.site, at_s)

    def seen(self, walk: Walk) -> None:
        """As vision says it: boxes and the best shot."""
        shot = walk.shot(0).observation
        self.frames[walk.track_id] = at = pb.Position(
            topic=frames().name, partition=1, offset=frame_of(self.stack, walk.camera)
        )
        frame = pb.FrameTracks(
            camera_id=walk.camera, site_id=walk.site, captured_at_us=walk.start_us,
            motion_event_id=shot.motion_event_id, frame=at, width=640, height=360,
            tracks=[pb.TrackBox(track_id=walk.track_id, box=shot.track_box, score=0.9)],
        )  # fmt: skip
        picture = pb.Snapshot(
            track_id=walk.track_id, camera_id=walk.camera, site_id=walk.site,
            captured_at_us=walk.start_us, frame=shot.frame, jpeg=PICTURE, quality=0.8,
        )  # fmt: skip
        publish(self.stack, TRACKS.name, walk.camera, frame)
        publish(self.stack, SNAPSHOTS.name, walk.track_id, picture)

    def write_down(self, *walks: Walk) -> None:
        """As if the sinks had just come to what the topics have of these."""
        tracks = {walk.track_id for walk in walks}
        told: list[Message] = [
            one for one in sightings(self.stack, self.site) if one.track_id in tracks
        ]
        for record in read_topic(self.stack, TRACKS.name):
            frame = pb.FrameTracks.FromString(record.value or b"")
            if any(one.track_id in tracks for one in frame.tracks):
                told.append(frame)
        for record in read_topic(self.stack, SNAPSHOTS.name):
            shot = pb.Snapshot.FromString(record.value or b"")
            if shot.track_id in tracks:
                told.append(shot)
        for walk in walks:
            event = ids.motion_event_id(walk.camera, walk.start_us)
            begun = pb.MotionEvent(
                event_id=event, camera_id=walk.camera, site_id=walk.site,
                kind=pb.MotionEvent.STARTED, started_at_us=walk.start_us, at_us=walk.start_us,
            )  # fmt: skip
            told.append(begun)
        store = open_store(self.stack)
        for sink in (
            AccessLog(self.stack), VisitorLog(self.stack), PersonState(self.stack),
            Snapshots(self.stack, store),
        ):  # fmt: skip
            heard = [one for one in told if type(one) in sink.topics.values()]
            write(self.stack, sink, heard, idle=True)

    def clean(self) -> None:
        with connect(self.stack) as db:
            drop_schema(db.cursor(), RUN)
            db.execute("DELETE FROM runs WHERE name = %s", (RUN,))


@contextmanager
def scene(stack: Settings) -> Iterator[Scene]:
    one = Scene(stack)
    try:
        yield one
    finally:
        one.clean()


def publish(stack: Settings, topic: str, key: str, message: Message) -> None:
    producer = Producer(producer_config(stack, "erase-test"))
    producer.produce(topic, message.SerializeToString(), key=key)
    assert producer.flush(60) == 0


def frame_of(stack: Settings, camera: str) -> int:
    """Write a frame; its offset in partition 1."""
    offsets: list[int] = []
    producer = Producer(producer_config(stack, "erase-test"))
    producer.produce(
        frames().name, pb.Frame(camera_id=camera, jpeg=b"a frame").SerializeToString(), key=camera,
        partition=1, on_delivery=lambda _error, message: offsets.append(message.offset() or 0),
    )  # fmt: skip
    assert producer.flush(60) == 0
    return offsets[0]


def copied_to_run(stack: Settings) -> None:
    """The rows of a run that has seen the same."""
    with connect(stack) as db, db.cursor() as cursor:
        create_schema(cursor, RUN)
        for table in ("access_logs", "person_tracks", "snapshot_owners", "visit_evidence",
                      "visitor_logs"):  # fmt: skip
            query = sql.SQL("INSERT INTO {} SELECT * FROM {}")
            cursor.execute(
                query.format(sql.Identifier(f"run_{RUN}", table), sql.Identifier("public", table))
            )


def test_nothing_of_an_erased_person_is_left_but_what_the_report_lists(
    stack: Settings, tmp_path: Path
) -> None:
    with scene(stack) as one, worker(stack, tmp_path) as matcher:
        eventually(lambda: "match: ready" in matcher.log(), what="the matcher")
        employee = enrol_numbers(stack, one.name, 41)
        photo = f"enrollment_photos/{one.name}.jpg"
        open_store(stack).put(photo, PHOTO)
        named, other, last = one.walk(41, 0), one.walk(42, 100), one.walk(41, 200)
        for walk in (named, other, last):
            one.seen(walk)
        produce(stack, [*named.whole(), *other.whole(), *(last.shot(n) for n in range(3))])
        assert said(stack, named).person_id == employee
        stranger = said(stack, other).global_id
        eventually(lambda: whose(stack, last) == employee, what="the live track is named")
        one.write_down(named, other, last)
        with connect(stack) as db, db.cursor() as cursor:
            person = ids.global_id(employee)
            alias = corrections.split(cursor, person, [UUID(named.track_id)])
            corrections.merge(cursor, alias, person)
        deliver(stack)
        copied_to_run(stack)
        hay = Hay(stack, one, employee, alias, [named, last])
        assert hay.in_database()
        assert hay.in_store()
        assert hay.in_topics().keys() >= {GALLERY.name, SIGHTINGS.name, TRACKS.name}

        report = json.loads(
            run(stack, "erase", "person", one.name, "--purpose", "they asked", "--json")
        )

        live_on(one, last)
        assert not hay.in_database()
        assert not hay.in_store()
        ends = {(topic, number): end for topic, number, end in report["searched_to"]}
        assert hay.in_topics(ends) == hay.listed(report)
        assert hay.live_in_compacted() == {FACTS.name}, "but for the marker"
        assert matcher.process.poll() is None
        # Everybody else is as they were.
        assert other.track_id in rows_of(stack, stranger)
        file = Path(report["file"])
        run(stack, "erase", "verify", str(file))
        told = json.loads(file.read_text())
        told["kept"]["topics"].pop()
        file.write_text(json.dumps(told))
        assert "was changed" in str(command(stack, "erase", "verify", str(file)).exception)


def live_on(one: Scene, walk: Walk) -> None:
    """The person still stands before the camera, and what was said of them comes to the sinks."""
    produce(one.stack, [walk.shot(4), walk.shot(5), walk.end()])
    after = one.walk(43, 300)
    produce(one.stack, after.whole())
    said(one.stack, after)  # of the same site, so all before it has been done
    one.write_down(walk)


def whose(stack: Settings, walk: Walk) -> str:
    mine = [one for one in sightings(stack, walk.site) if one.track_id == walk.track_id]
    return mine[-1].person_id if mine else ""


def rows_of(stack: Settings, person: int) -> set[str]:
    with connect(stack) as db:
        found = db.execute("SELECT track_uuid FROM access_logs WHERE global_id = %s", (person,))
        return {str(row[0]) for row in found}


class Hay:
    """Where somebody is looked for: whatever names them, or was made of their face."""

    def __init__(
        self, stack: Settings, one: Scene, employee: str, alias: int, walks: list[Walk]
    ) -> None:
        self._stack = stack
        tracks = [walk.track_id for walk in walks]
        said_ids = [ids.sighting_id(track, 0) for track in tracks]
        self._frames = [one.frames[track] for track in tracks]
        self._persons = [ids.global_id(employee), alias]
        self._ids = [employee, *tracks, *said_ids]
        self._words = [one.name, one.name.replace(" ", "_"), *self._ids, *map(str, self._persons)]
        self._vectors = [walk.shot(n).observation.embedding for walk in walks for n in range(6)]
        self._vectors += [
            template.vector
            for record in read_topic(stack, GALLERY.name)
            if record.key == employee.encode() and record.value
            for template in pb.GalleryPerson.FromString(record.value).templates
        ]

    def in_database(self) -> set[str]:
        """Columns of all schemas that have something of them; ids alone may be in some tables."""
        found = set()
        with connect(self._stack) as db:
            columns = db.execute(
                "SELECT table_schema, table_name, column_name, data_type, udt_name"
                " FROM information_schema.columns JOIN information_schema.tables"
                " USING (table_schema, table_name) WHERE table_type = 'BASE TABLE'"
                " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for schema, table, column, kind, udt in columns:
                place, name = sql.Identifier(schema, table), sql.Identifier(column)
                words = self._words
                if table in ERASED_BY_ID:
                    words = self._words[:2]
                text = sql.SQL("encode({}, 'escape')" if kind == "bytea" else "{}::text")
                query = sql.SQL(
                    "SELECT EXISTS (SELECT FROM {place}, unnest(%s::text[]) AS word"
                    " WHERE strpos({text}, word) > 0)"
                ).format(place=place, text=text.format(name))
                if db.execute(query, (words,)).fetchone() == (True,):
                    found.add(f"{schema}.{table}.{column}")
                if udt in ("vector", "bytea") and self._has_vector(db, place, name, udt):
                    found.add(f"{schema}.{table}.{column}")
        return found

    def _has_vector(self, db: Any, place: Any, name: Any, udt: str) -> bool:
        rows = db.execute(sql.SQL("SELECT {} FROM {}").format(name, place)).fetchall()
        held = [
            row[0].to_numpy().astype("<f4").tobytes() if udt == "vector" else bytes(row[0])
            for row in rows
            if row[0] is not None
        ]
        return any(vector in one for one in held for vector in self._vectors)

    def in_store(self) -> list[str]:
        store = open_store(self._stack)
        folded = self._words[1]
        mine = [key for key in store.keys("") if folded in key or self._words[0] in key]
        return mine + [key for key in store.keys("") if store.get(key) == PHOTO]

    def in_topics(
        self, until: dict[tuple[str, int], int] | None = None
    ) -> dict[str, dict[int, list[list[int]]]]:
        """Offsets of the records that have something of them, by topic and partition.

        `until`: but for those that came later.
        """
        found: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for topic in self._topics():
            for record in read_topic(self._stack, topic, committed=False):
                late = until and record.offset >= until[topic, record.partition]
                if not late and self._holds(record):
                    found[topic][record.partition].add(record.offset)
        for frame in self._frames:
            found[frame.topic][frame.partition].add(frame.offset)
        return _as_ranges(found)

    def live_in_compacted(self) -> set[str]:
        """Compacted topics whose latest record of some key has something of them."""
        found = set()
        for topic in COMPACTED:
            latest = {one.key: one for one in read_topic(self._stack, topic)}
            if any(one.value is not None and self._holds(one) for one in latest.values()):
                found.add(topic)
        return found

    def listed(self, report: dict[str, Any]) -> dict[str, dict[int, list[list[int]]]]:
        """The same as a report says it."""
        found: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        for one in report["kept"]["topics"]:
            for first, last in one["offsets"]:
                found[one["topic"]][one["partition"]] |= set(range(first, last + 1))
        return _as_ranges(found)

    def _topics(self) -> list[str]:
        return [topic.name for topic in all_topics()]

    def _holds(self, record: Record) -> bool:
        data = (record.key or b"") + b"\0" + (record.value or b"")
        return (
            any(word.encode() in data for word in self._words)
            or any(vector in data for vector in self._vectors)
            or any(_varint(person) in data for person in self._persons)
        )


def _as_ranges(found: dict[str, dict[int, set[int]]]) -> dict[str, dict[int, list[list[int]]]]:
    return {
        topic: {number: ranges(offsets) for number, offsets in partitions.items()}
        for topic, partitions in found.items()
    }


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def test_an_erasure_that_is_killed_goes_on_where_it_was(stack: Settings, tmp_path: Path) -> None:
    with new_world(stack) as world:
        name = f"Strange Stranger {world.id}"
        sighting = world.sighting(stranger="someone")
        person, track = sighting.global_id, sighting.track_id
        store = open_store(stack)
        for sink, told in (
            (AccessLog(stack), [sighting]),
            (PersonState(stack), [sighting]),
            (Snapshots(stack, store), [world.shot(), sighting]),
        ):
            write(stack, sink, told, idle=True)
        with connect(stack) as db, db.cursor() as cursor:
            corrections.name_person(cursor, person, name)
        write(stack, Snapshots(stack, store), [], idle=True)  # by its new name
        look = pb.Template(
            template_id=sighting.sighting_id, pack="test-pack", vector=sighting.template,
            track_id=track,
        )  # fmt: skip
        kept = pb.UnknownPerson(
            global_id=person, site_id=world.site, founder_track_id=track, templates=[look]
        )
        publish(stack, MATCH_STATE.name, f"p|{world.site}|{person}", kept)
        publish(stack, SIGHTINGS.name, world.site, sighting)
        (picture,) = world.rows("SELECT path FROM snapshots WHERE global_id = %s", person)
        assert store.get(picture["path"])

        (tmp_path / "erase.rows-erased").touch()
        environment = {"SIGHTLINE_FAULT_INJECTION": str(tmp_path)}
        died = run_sightline(
            stack.home, "erase", "person", name, env=environment, check=False, seconds=280
        )
        assert died.returncode == -signal.SIGKILL, died.stderr
        for place in (Fault.OBJECTS_ERASED, Fault.MATCHERS_FORGOT):
            # By its name, which no row has any more.
            with cut_off_at(place), pytest.raises(CutOffError):
                erase(stack, ErasureRequest(name, "a test"))
        report = json.loads(run(stack, "erase", "person", name, "--json"))

        assert report["person"] == {"global_ids": [person], "person_id": None}
        assert report["deleted"]["rows"]["public.access_logs"] == 1
        assert picture["path"] not in set(store.keys(""))
        hay = IdScanner([track, sighting.sighting_id], [person])
        assert live_records(stack, MATCH_STATE.name, hay) == []
        assert {one["topic"] for one in report["kept"]["topics"]} >= {SIGHTINGS.name, FACTS.name}
        assert world.rows("SELECT FROM erasures WHERE plan IS NOT NULL") == []
        assert world.rows("SELECT FROM access_logs WHERE global_id = %s", person) == []
        # Told once more, as after a restart or in a replay, it is not written down.
        for again in (AccessLog(stack), PersonState(stack), VisitorLog(stack)):
            write(stack, again, [sighting], idle=True)
        write(stack, Snapshots(stack, store), [world.shot()], [sighting], idle=True)
        for table in ("access_logs", "person_tracks", "snapshots", "snapshot_owners"):
            query = f"SELECT FROM {table} WHERE track_uuid = %s"
            assert world.rows(query, track) == [], table
        assert world.rows(
            "SELECT FROM pending_snapshots WHERE sighting_id = %s", sighting.sighting_id
        ) == []  # fmt: skip


class CutOffError(Exception):
    """Somebody has pressed Ctrl-C."""


@contextmanager
def cut_off_at(place: Fault) -> Iterator[None]:
    def fault_point(reached: Fault) -> None:
        if reached is place:
            raise CutOffError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ops.erasure.erasure.fault_point", fault_point)
        yield


def test_a_purpose_that_names_the_person_is_refused(stack: Settings) -> None:
    with new_world(stack) as world:
        employee = world.add_employee("Nora Named")
        name = world.name_of(employee)
        with pytest.raises(SightlineError, match="names the person"):
            erase(stack, ErasureRequest(name, "a test", f"{name.upper()} asked for it"))
        assert world.name_of(employee) == name
