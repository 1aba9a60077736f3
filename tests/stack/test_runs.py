"""Runs on the real database: how they differ, which one is the truth, and back again."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from google.protobuf.message import Message

from ops.runs.delete import delete
from ops.runs.diff import Diff, diff
from ops.runs.promote import promote, roll_back
from schemas import sightline_pb2 as pb
from schemas.naming import of_run, sink_group
from schemas.topics import LIVE, SIGHTINGS, Topic
from sightline.people import employees, identity_corrections
from sightline.people.corrections import forget, merge, name_person
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import connect
from sightline.storage.objects import NoSuchObjectError
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import client_config
from sightline.streaming.topic_reader import commit_offsets
from tests.stack.commands_support import run as command
from tests.stack.runs_support import Pass, begin_run, forget_run, window
from tests.stack.sinks_support import World, new_world
from tests.support import run_sightline

pytestmark = pytest.mark.stack

CHANGED = pb.Sighting.CHANGED


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


@pytest.fixture
def ann(world: World) -> str:
    return world.add_employee("Ann")


@pytest.fixture
def live(stack: Settings, world: World, ann: str) -> Pass:
    """Ann on track 0, a stranger x on track 2."""
    live = Pass(stack, world, LIVE, None)
    live.tell(
        *window(world, (0, 2)),
        world.sighting(employee=ann, decided=1),
        world.sighting(stranger="x", start=2, decided=3),
    )
    return live


@pytest.fixture
def name(stack: Settings, world: World) -> Iterator[str]:
    name = f"r{world.id}"
    yield name
    with connect(stack) as db:
        if db.execute("SELECT FROM promotions WHERE run = %s AND taken_back_at IS NULL", (name,)
                      ).fetchone():  # fmt: skip
            roll_back(db, name)
    forget_run(stack, name)


@pytest.fixture
def run(live: Pass, world: World, ann: str, name: str) -> Pass:
    """The run says y instead of Ann on track 0, and has a track 4 of hers instead of 2."""
    run = begin_run(live, name, [world.event()])
    run.tell(*_heard(run, _of_the_run(world, ann)))
    return run


def _of_the_run(world: World, ann: str) -> list[Message]:
    return [
        *window(world, (0, 4)),
        world.sighting(stranger="y", decided=1),
        world.sighting(employee=ann, start=4, decided=5),
    ]


def _heard(run: Pass, messages: list[Message]) -> list[Message]:
    kinds = {kind for sink in run.sinks() for kind in sink.topics.values()}
    return [one for one in messages if type(one) in kinds]


def in_one(settings: Settings, work: Any, *what: Any) -> Any:
    """A piece of work in a transaction of its own."""
    with connect(settings) as db:
        return work(db, *what)


def correct(settings: Settings, correction: Any, *what: Any) -> Any:
    with connect(settings) as db, db.cursor() as cursor:
        return correction(cursor, *what)


def compared(settings: Settings, a: str, b: str) -> Diff:
    with connect(settings) as db:
        return diff(db, a, b)


def test_a_run_that_says_the_same_has_an_empty_diff(
    stack: Settings, live: Pass, world: World, ann: str, name: str
) -> None:
    run = begin_run(live, name, [world.event()])
    said = [
        *window(world, (0, 2)),
        world.sighting(employee=ann, decided=1),
        world.sighting(stranger="x", start=2, decided=3),
    ]
    run.tell(*_heard(run, said))
    found = compared(stack, LIVE, name)
    assert found.empty
    assert (found.events, found.sightings, found.visits) == (1, (2, 2), (2, 2))
    told = command(stack, "runs", "diff", "live", name)
    assert told.startswith("empty:")


def test_a_diff_tells_tracks_and_names_by_person_and_camera(
    stack: Settings, run: Pass, world: World, name: str
) -> None:
    found = compared(stack, LIVE, name)
    by_track = {(one.a or one.b or {})["track_uuid"]: one for one in found.differences}
    named = by_track[world.track(0)]
    assert named.kind == "name"
    assert named.a and named.b
    assert (named.a["person_name"], named.b["person_name"]) == (f"Ann {world.id}", "Unknown")
    assert str(named.b["snapshot_path"]).startswith(f"runs/{name}/unknown/")
    stranger = by_track[world.track(2)]  # on whose moment the run has another track
    assert stranger.kind == "name"
    assert stranger.b and stranger.b["track_uuid"] == world.track(4)
    assert len(found.differences) == 2
    counts = {(row["person"], row["a"], row["b"]) for row in found.by_person}
    assert counts == {(f"Ann {world.id}", 1, 1), ("Unknown", 1, 0), ("Unknown", 0, 1)}
    assert {row["camera"] for row in found.by_person} == {world.camera}
    told = run_sightline(stack.home, "runs", "diff", "live", name, "--json", check=False)
    assert told.returncode == 1
    assert '"empty": false' in told.stdout


def test_a_promoted_run_is_what_people_query_until_it_is_taken_back(
    stack: Settings, live: Pass, run: Pass, world: World, ann: str, name: str
) -> None:
    before, differs = live.shown(), compared(stack, LIVE, name).fields()
    told = command(stack, "runs", "promote", name)
    assert "1 motion events" in told
    after = live.shown()
    y = world.sighting(stranger="y").global_id
    ann_id = world.sighting(employee=ann).global_id
    assert live.names() == {
        world.track(0): ("Unknown", y),
        world.track(4): (f"Ann {world.id}", ann_id),
    }
    assert {row["global_id"] for row in after["persons"]} == {y, ann_id}
    assert {row["global_id"] for row in after["visits"]} == {y, ann_id}
    assert len(after["faces"]) == 2
    assert all(run.store.get(row["snapshot_path"]) for row in after["access"])
    assert after["employees"] != before["employees"]  # she was there later
    # The passes themselves are what they were.
    assert compared(stack, LIVE, name).fields() == differs
    live.tell()  # the sinks have nothing to put right
    assert live.shown() == after

    command(stack, "runs", "rollback")
    live.tell()
    assert live.shown() == before
    assert compared(stack, LIVE, name).fields() == differs
    with pytest.raises(NotFoundError):
        in_one(stack, roll_back, name)


def test_what_live_says_late_of_a_promoted_window_is_kept_aside(
    stack: Settings, live: Pass, run: Pass, world: World, name: str
) -> None:
    in_one(stack, promote, name)
    promoted = live.shown()
    late: list[Message] = [
        world.sighting(CHANGED, stranger="z", start=2, decided=9),
        world.sighting(stranger="z", start=0, decided=8),  # the run has this track too
        world.shot(0.9, start=0, captured=6),
        world.frame(19, [(0, (10, 10, 30, 90))]),
    ]
    live.tell(*late)
    assert live.shown() == promoted
    in_one(stack, roll_back, name)
    live.tell()
    z = world.sighting(stranger="z").global_id
    assert live.names() == {world.track(0): ("Unknown", z), world.track(2): ("Unknown", z)}
    (track,) = (one for one in live.shown()["tracks"] if str(one["track_uuid"]) == world.track(0))
    assert track["detections"] == 3


def test_what_people_said_meanwhile_holds_for_what_comes_back(
    stack: Settings, live: Pass, run: Pass, world: World, ann: str, name: str
) -> None:
    x = world.sighting(stranger="x").global_id
    y = world.sighting(stranger="y").global_id
    ann_id = world.sighting(employee=ann).global_id
    in_one(stack, promote, name)
    correct(stack, name_person, y, f"Yves {world.id}")
    live.tell()
    assert live.names()[world.track(0)] == (f"Yves {world.id}", y)
    (picture,) = (row for row in live.shown()["access"] if row["global_id"] == y)
    assert str(picture["snapshot_path"]).startswith(f"runs/{name}/known/Yves")
    in_one(stack, roll_back, name)
    correct(stack, merge, x, ann_id)
    in_one(stack, promote, name)
    assert live.names()[world.track(0)] == (f"Yves {world.id}", y)
    correct(stack, forget, y)
    in_one(stack, roll_back, name)
    live.tell()
    assert live.names()[world.track(2)] == (f"Ann {world.id}", ann_id)
    in_one(stack, promote, name)
    live.tell()
    assert live.names()[world.track(0)] == ("Unknown", y)
    by_track = {str(row["track_uuid"]): row for row in live.shown()["tracks"]}
    assert by_track[world.track(0)]["embedding"] == "None"
    assert all(live.store.get(row["snapshot_path"]) for row in live.shown()["access"])


def test_who_was_removed_meanwhile_stays_removed(
    stack: Settings, live: Pass, run: Pass, world: World, ann: str, name: str
) -> None:
    aside = f"replaced_{in_one(stack, promote, name).promotion}"
    with connect(stack) as db, db.cursor() as cursor:
        identity_corrections.lock_exclusive(cursor)
        employees.remove(cursor, world.one("SELECT id FROM employees WHERE id = %s", ann)["id"])
    how = "SELECT embedding FROM {}.person_tracks WHERE track_uuid = %s"
    assert world.one(how.format(aside), world.track(0)) == {"embedding": None}
    in_one(stack, roll_back, name)
    live.tell()
    (row,) = (one for one in live.shown()["access"] if str(one["track_uuid"]) == world.track(0))
    assert row["employee_id"] is None
    assert row["person_name"] == f"Ann {world.id}"  # the log keeps what it said
    assert "/Ann" not in str(row["snapshot_path"])
    (track,) = (one for one in live.shown()["tracks"] if str(one["track_uuid"]) == world.track(0))
    assert (track["name"], track["embedding"]) == (None, "None")


def test_what_cannot_be_promoted_is_refused_in_one_line(
    stack: Settings, live: Pass, run: Pass, world: World, name: str
) -> None:
    other = f"o{world.id}"
    begin_run(live, other, [world.event()], stage="matching")
    try:
        with pytest.raises(ConflictError, match="not finished"):
            in_one(stack, promote, other)
        with connect(stack) as db:
            db.execute("UPDATE runs SET stage = 'done' WHERE name = %s", (other,))
        with pytest.raises(ConflictError, match="fewer frames"):
            in_one(stack, promote, other)
        in_one(stack, promote, name)
        with pytest.raises(ConflictError, match="already"):
            in_one(stack, promote, name)
        with pytest.raises(ConflictError, match=f"runs rollback {name}"):
            in_one(stack, promote, other)
        refused = run_sightline(stack.home, "runs", "delete", name, check=False)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert "is promoted" in refused.stderr
        with pytest.raises(NotFoundError, match="no run"):
            in_one(stack, promote, f"n{world.id}")
    finally:
        forget_run(stack, other)


def test_a_deleted_run_touches_only_what_is_its_own(
    stack: Settings, run: Pass, name: str, world: World
) -> None:
    """Another program's topic and group, and another fleet's, end like the run's."""
    theirs = [
        Topic(f"etl-{world.id}.run-{name}", key="theirs", partitions=1),
        Topic(f"frames.hall-{world.id}.run-{name}", key="camera id", partitions=1),
        Topic(f"vision-state.hall-{world.id}.run-{name}", key="camera id", partitions=1),
    ]
    ours = of_run(SIGHTINGS, name)
    apply_topics(stack, [*theirs, ours])
    groups = [f"etl-{world.id}.run-{name}", sink_group("access-log", name)]
    for group in groups:
        commit_offsets(stack, group, ours.name, {0: 0})
    admin = AdminClient(client_config(stack, "test-runs"))
    try:
        done = delete(stack, name)
        assert (done.topics, done.groups) == (1, 1)
        left = admin.list_topics(timeout=60).topics
        assert {topic.name for topic in theirs} <= left.keys()
        found = {one.group_id for one in admin.list_consumer_groups().result(60).valid}
        assert groups[0] in found
        assert groups[1] not in found
    finally:
        admin.delete_consumer_groups(groups[:1])[groups[0]].result(60)
        for deleted in admin.delete_topics([topic.name for topic in theirs]).values():
            deleted.result(60)


def test_a_deleted_run_leaves_nothing_behind(
    stack: Settings, live: Pass, run: Pass, world: World, name: str
) -> None:
    apply_topics(stack, [of_run(SIGHTINGS, name)])
    before = live.shown()
    pictures = list(run.store.keys(f"runs/{name}/"))
    assert pictures
    with connect(stack) as db:
        runs.lock_run(db, name)
        with pytest.raises(ConflictError, match="works on"):
            delete(stack, name)
    done = delete(stack, name)
    assert (done.topics, done.objects) == (1, len(pictures))
    assert not list(run.store.keys(f"runs/{name}/"))
    with pytest.raises(NoSuchObjectError):
        run.store.get(pictures[0])
    admin = AdminClient(client_config(stack, "test-runs"))
    assert not [topic for topic in admin.list_topics(timeout=60).topics if topic.endswith(name)]
    assert not world.rows("SELECT FROM pg_namespace WHERE nspname = %s", f"run_{name}")
    assert live.shown() == before
    with pytest.raises(NotFoundError):
        delete(stack, name)
