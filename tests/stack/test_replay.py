"""A replay on the real stack: films go through live, and a window of them once more. Its rows are
live's, although its coordinator is killed and all that was seen before the window is left out."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg.rows import dict_row

from ops.demo.demo_persons import DEMO_PERSONS, DemoPerson, enrolment_photo
from ops.replay.plan import ReplayRequest, plan
from schemas import sightline_pb2 as pb
from schemas.ids import motion_event_id
from schemas.naming import run_schema
from schemas.topics import MOTION_EVENTS, frames
from sightline.runtime.clock import US_PER_SECOND, to_us
from sightline.runtime.errors import ConflictError, NotFoundError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import connect
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import client_config, producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from sinks.settings import SinkSettings
from tests.match_support import worker as matcher
from tests.stack.sinks_support import skip_what_is_there
from tests.stack.test_sinks_run import running as sinks_running
from tests.support import (
    days_ago,
    environment,
    eventually,
    program,
    run_sightline,
    sightline_command,
)

pytestmark = [pytest.mark.stack, pytest.mark.models]

FLEET = "replayed"
SITE = "replayed"
CAMERAS = ("replayed-in", "replayed-out")
START = days_ago(8, hour=8)
FPS, FRAMES = 5, 8

# Who is before which camera, and when (s). The first event is before the window: the stranger of
# the third is known from it.
SEEN = ((1, 0, "Ben Archer"), (0, 20, "Ana Lima"), (0, 60, "Ben Archer"))
WINDOW = START + timedelta(seconds=15), START + timedelta(seconds=61)

TABLES = (
    "access_logs", "visitor_logs", "visit_evidence", "person_tracks", "snapshot_owners",
    "motion_events",
)  # fmt: skip
WRITTEN_AT = {"recorded_at", "created_at", "updated_at", "kept_since", "prefix"}
"""Columns that tell of the writing, not of what was seen."""


def publish(stack: Settings) -> None:
    """Three motion events of a person who sways before a wall."""
    topic = frames(FLEET)
    apply_topics(stack, [topic])
    members = {member.name: member for member in DEMO_PERSONS}
    producer = CheckedProducer(producer_config(stack, "replay-test"))
    sequences = dict.fromkeys(CAMERAS, 0)
    for slot, seconds, who in SEEN:
        camera, started = CAMERAS[slot], to_us(START) + seconds * US_PER_SECOND
        event = motion_event_id(camera, started)
        for number, picture in enumerate(pictures(members[who])):
            at = started + number * US_PER_SECOND // FPS
            frame = pb.Frame(
                camera_id=camera,
                site_id=SITE,
                sequence=sequences[camera],
                captured_at_us=at,
                jpeg=picture,
                width=480,
                height=360,
                motion_event_id=event,
                first_in_event=number == 0,
                last_in_event=number == FRAMES - 1,
            )
            sequences[camera] += 1
            producer.send(
                OutputRecord(topic.name, camera, frame.SerializeToString(), at // 1000, slot)
            )
        over = pb.MotionEvent(
            event_id=event,
            camera_id=camera,
            site_id=SITE,
            kind=pb.MotionEvent.ENDED,
            at_us=at,
            started_at_us=started,
            first_sequence=sequences[camera] - FRAMES,
            last_sequence=sequences[camera] - 1,
            frames=FRAMES,
        )
        producer.send(
            OutputRecord(MOTION_EVENTS.name, camera, over.SerializeToString(), at // 1000)
        )
    producer.flush(60)


def pictures(member: DemoPerson) -> Iterator[bytes]:
    face = cv2.resize(enrolment_photo(member), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    face = face[:350]
    for number in range(FRAMES):
        image = np.full((360, 480, 3), 110, np.uint8)
        left = 60 + 4 * number
        image[360 - len(face) :, left : left + face.shape[1]] = face
        yield cv2.imencode(".jpg", image)[1].tobytes()


def add_cameras(stack: Settings) -> None:
    with connect(stack) as db:
        for slot, camera in enumerate(CAMERAS):
            db.execute(
                "INSERT INTO cameras (camera_id, uri, site_id, fleet, slot, entry_point, status)"
                " VALUES (%s, 'none', %s, %s, %s, %s, 'ended')",
                (camera, SITE, FLEET, slot, f"door {slot}"),
            )


@contextmanager
def live(stack: Settings, folder: Path) -> Iterator[None]:
    """Vision, the matcher and the sinks."""
    env = environment(stack.home, SIGHTLINE_FLEET=FLEET, SIGHTLINE_PACK="dlib")
    command = sightline_command("run", "vision")
    with (
        program(command, env=env) as vision,
        matcher(stack, folder),
        sinks_running(stack.model_copy(update={"sinks": quick(stack)}), 1),
    ):
        try:
            yield
        finally:
            vision.terminate()
            assert vision.wait(120) == 0


def quick(stack: Settings) -> Any:
    return SinkSettings.of(stack).model_copy(update={"person_state_seconds": 0.5})


def rows(stack: Settings, table: str, schema: str, events: list[str]) -> list[dict[str, Any]]:
    """A table's rows of some motion events, but for when they were written and their prefix."""
    with connect(stack) as db, db.cursor(row_factory=dict_row) as cursor:
        column = "event_id" if table == "motion_events" else "motion_event_id"
        found = cursor.execute(
            f"SELECT * FROM {schema}.{table} WHERE {column} = ANY(%s::uuid[]) ORDER BY 1", (events,)
        ).fetchall()
    for row in found:
        if row.get("snapshot_path"):
            row["snapshot_path"] = row["snapshot_path"].removeprefix(f"runs/{schema[4:]}/")
    return [
        {name: str(value) for name, value in row.items() if name not in WRITTEN_AT} for row in found
    ]


def settled(stack: Settings) -> bool:
    """Whether live has written all there is to write of the three events."""
    events = [
        motion_event_id(CAMERAS[slot], to_us(START) + s * US_PER_SECOND) for slot, s, _who in SEEN
    ]
    told = rows(stack, "access_logs", "public", events)
    known = rows(stack, "person_tracks", "public", events)
    over = rows(stack, "motion_events", "public", events)
    return (
        len(told) == len(known) == len(SEEN)
        and all(row["snapshot_path"] != "None" for row in told)
        and all(row["decided_at"] != "None" for row in known)
        and [row["processed"] for row in over] == ["True"] * len(SEEN)
    )


def stage(stack: Settings, name: str) -> str | None:
    with connect(stack) as db:
        found = runs.find(db, name)
    return None if found is None else found.stage


@pytest.fixture(scope="module")
def seen(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The stack after live has seen it all."""
    skip_what_is_there(stack)
    add_cameras(stack)
    publish(stack)
    with live(stack, tmp_path_factory.mktemp("replay")):
        eventually(lambda: settled(stack), 150, "live has written all rows")
    return stack


@pytest.mark.timeout(600)
def test_a_window_seen_again_gives_the_rows_of_live_though_its_coordinator_is_killed(
    seen: Settings,
) -> None:
    since, until = (moment.isoformat() for moment in WINDOW)
    asked = ["replay", "--from", since, "--to", until, "--run", "again", "--workers", "1", "--wait"]
    asked += [word for camera in CAMERAS for word in ("--camera", camera)]
    env = environment(seen.home, SIGHTLINE_PACK="dlib")
    with program(sightline_command(*asked), env=env) as first:
        eventually(lambda: stage(seen, "again") == "matching", 150, "vision is done")
        first.send_signal(signal.SIGKILL)
    told = run_sightline(seen.home, *asked, "--json", seconds=300, env={"SIGHTLINE_PACK": "dlib"})
    assert '"stage": "done", "detail": null' in told.stdout

    events = [
        motion_event_id(CAMERAS[slot], to_us(START) + s * US_PER_SECOND)
        for slot, s, _who in SEEN[1:]
    ]
    for table in TABLES:
        of_live = rows(seen, table, "public", events)
        assert len(of_live) == len(events), table
        assert rows(seen, table, run_schema("again"), events) == of_live, table
    with connect(seen) as db:
        assert runs.events(db, "again") == set(events)
    # The stranger of the window's end is the one whom live had met before it.
    before = rows(seen, "access_logs", "public", [motion_event_id(CAMERAS[1], to_us(START))])
    last = rows(seen, "access_logs", run_schema("again"), events[1:])
    assert last[0]["global_id"] == before[0]["global_id"]

    with pytest.raises(ConflictError, match="already"):
        plan(seen, ReplayRequest("again", *WINDOW, CAMERAS))
    over = run_sightline(seen.home, *asked, check=False)
    assert over.returncode == 1
    assert "the run again is done" in over.stderr


def test_what_cannot_be_seen_again_is_one_line(seen: Settings, tmp_path: Path) -> None:
    since, until = WINDOW
    for wish, error, line in (
        (ReplayRequest("live", since, until, ()), SightlineError, "not live"),
        (ReplayRequest("Run 1", since, until, ()), SightlineError, "small letters"),
        (ReplayRequest("r", until, since, ()), SightlineError, "before --to"),
        (ReplayRequest("r", since, until, ("replayed-nowhere",)), NotFoundError, "no camera"),
        (ReplayRequest("r", START - timedelta(days=9), START - timedelta(days=8), CAMERAS),
         SightlineError, "nothing moved"),
    ):  # fmt: skip
        with pytest.raises(error, match=line):
            plan(seen, wish)
    with pytest.raises(SightlineError, match="no folder"):
        plan(
            seen.model_copy(update={"models": tmp_path / "none"}),
            ReplayRequest("r", since, until, ()),
        )
    with connect(seen) as db:
        assert runs.find(db, "r") is None


def test_a_run_that_is_being_carried_out_is_left_alone(seen: Settings) -> None:
    plan(seen, ReplayRequest("taken", *WINDOW, CAMERAS))
    with connect(seen, autocommit=True) as db:
        runs.lock_run(db, "taken")
        told = run_sightline(seen.home, "replay", "--run", "taken", "--wait", check=False)
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1] == "sightline: somebody works on the run taken already"
    assert stage(seen, "taken") == "new"


def test_what_kafka_has_lost_is_left_out_and_said(seen: Settings) -> None:
    # Of the event before the window all frames, of the window's first event three.
    forget(seen, slot=1, before=FRAMES)
    forget(seen, slot=0, before=3)
    with pytest.raises(SightlineError, match="Kafka holds no frames"):
        plan(seen, ReplayRequest("lost", START, START + timedelta(seconds=10), CAMERAS))
    run = plan(seen, ReplayRequest("lost", START, WINDOW[1], CAMERAS))
    assert run.cameras == [CAMERAS[0]]
    assert run.spans == {frames(FLEET).name: {0: (3, 2 * FRAMES)}}
    assert run.detail == (
        "1 motion event left out: Kafka has no frames of them any more; "
        "Kafka has lost the first frames of 1 motion event"
    )


def forget(stack: Settings, *, slot: int, before: int) -> None:
    """Delete a partition's frames, as retention does."""
    admin = AdminClient(client_config(stack, "replay-test"))
    at = TopicPartition(frames(FLEET).name, slot, before)
    for future in admin.delete_records([at]).values():
        future.result(60)
