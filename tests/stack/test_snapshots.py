"""Snapshots: the best shot under the right name, in a folder and in S3, and nothing left over."""

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest
from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.ids import sighting_id
from schemas.naming import safe_name
from sightline.runtime.errors import InfrastructureError, PoisonRecord
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.objects import FolderStore, ObjectStore, open_store
from sinks.access_log import AccessLog
from sinks.runtime.postgres import PostgresSink
from sinks.snapshots import Snapshots
from tests.stack.sinks_support import World, new_world, stamp, taken, write
from tests.support import eventually

pytestmark = pytest.mark.stack

CHANGED = pb.Sighting.CHANGED


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def sink(stack: Settings, store: FolderStore) -> Iterator[Snapshots]:
    with closing(Snapshots(stack, store)) as sink:
        yield sink


def tidy(stack: Settings, sink: Snapshots) -> None:
    """Deletes what an earlier transaction has left to delete."""
    write(stack, sink, [], idle=True)


def objects(store: ObjectStore) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.keys("")}


def paths(world: World) -> list[str]:
    rows = world.rows(
        "SELECT path FROM snapshots WHERE camera_id = %s ORDER BY decided_at", world.camera
    )
    return [row["path"] for row in rows]


def access_paths(world: World) -> list[str | None]:
    rows = world.rows(
        "SELECT snapshot_path FROM access_logs WHERE site_id = %s ORDER BY timestamp", world.site
    )
    return [row["snapshot_path"] for row in rows]


def short(world: World, start: float = 0) -> str:
    return sighting_id(world.track(start), 0)[:8]


def test_any_order_gives_one_object_of_the_best_shot_and_both_rows_point_to_it(
    stack: Settings, world: World, tmp_path: Path
) -> None:
    ann = world.add_employee("Ann")
    decision = world.sighting(employee=ann)
    key = f"known/{safe_name(decision.name)}_{stamp(1)}_{short(world)}.jpg"
    assert safe_name(decision.name).startswith("Ann_")
    steps: list[tuple[str, Message]] = [
        ("shots", world.shot(0.5)),
        ("shots", world.shot(0.8, captured=0.7)),
        ("shots", decision),
        ("access", decision),
    ]
    for number, order in enumerate(permutations(steps)):
        store = FolderStore(tmp_path / str(number))
        for table in ("snapshots", "snapshot_owners", "access_logs"):
            world.db.execute(f"DELETE FROM {table} WHERE camera_id = %s", (world.camera,))
        for kind, message in order:
            sink = AccessLog(stack) if kind == "access" else Snapshots(stack, store)
            write(stack, sink, [message])
        assert objects(store) == {key: b"picture 0 0.8"}
        assert paths(world) == access_paths(world) == [key]
    assert not world.rows(
        "SELECT FROM pending_snapshots WHERE sighting_id = %s", decision.sighting_id
    )


@pytest.mark.parametrize("first", ["access", "shots"])
def test_of_two_sinks_at_once_the_second_fills_in_the_path(
    stack: Settings, world: World, sink: Snapshots, first: str
) -> None:
    decision = world.sighting(stranger="x")
    works: list[tuple[PostgresSink, list[Message]]] = [
        (AccessLog(stack), [decision]),
        (sink, [decision, world.shot()]),
    ]
    if first == "shots":
        works.reverse()
    (one, its_batch), (other, other_batch) = works
    second = threading.Thread(target=write, args=(stack, other, other_batch))
    with connect(stack) as db, db.transaction(), db.cursor() as cursor:
        one.write(cursor, taken(one, its_batch))
        second.start()
        eventually(
            lambda: world.rows("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
            what="the second waits for the first",
        )
    second.join(10)
    assert access_paths(world) == paths(world)
    assert len(paths(world)) == 1


def test_the_same_batch_again_changes_nothing(
    stack: Settings, world: World, store: FolderStore, sink: Snapshots
) -> None:
    batch = [world.shot(0.5), world.shot(0.8), world.sighting(stranger="x")]
    write(stack, sink, batch)
    before = world.rows("SELECT * FROM snapshots WHERE camera_id = %s", world.camera)
    write(stack, sink, batch, *([message] for message in batch))
    tidy(stack, sink)
    assert world.rows("SELECT * FROM snapshots WHERE camera_id = %s", world.camera) == before
    assert objects(store) == {before[0]["path"]: b"picture 0 0.8"}


def test_an_unknown_person_has_one_snapshot_in_30_s(
    stack: Settings, world: World, store: FolderStore, sink: Snapshots
) -> None:
    access = AccessLog(stack)
    for start in (0, 10, 29, 35, 59):
        seen: list[Message] = [world.sighting(stranger="x", start=start, decided=start)]
        write(stack, access, seen)
        write(stack, sink, [*seen, world.shot(start=start)])
    other = [world.sighting(stranger="y", start=11, decided=11)]
    write(stack, sink, [*other, world.shot(start=11)])
    first = f"unknown/{stamp(0).replace('_', '/')}_{short(world)}.jpg"
    fourth = f"unknown/{stamp(35).replace('_', '/')}_{short(world, 35)}.jpg"
    of_y = f"unknown/{stamp(11).replace('_', '/')}_{short(world, 11)}.jpg"
    assert sorted(objects(store)) == sorted([first, fourth, of_y])
    assert access_paths(world) == [first, first, first, fourth, fourth]


def test_a_better_name_moves_the_picture_and_those_who_shared_it_get_their_own(
    stack: Settings, world: World, store: FolderStore, sink: Snapshots
) -> None:
    ann = world.add_employee("Ann")
    seen = [world.sighting(stranger="x", start=s, decided=s) for s in (0, 10, 20)]
    write(stack, AccessLog(stack), seen)
    write(stack, sink, [*seen, *(world.shot(start=start) for start in (0, 10, 20))])
    assert len(objects(store)) == 1
    change = [world.sighting(CHANGED, employee=ann, decided=2)]
    write(stack, AccessLog(stack), change)
    write(stack, sink, change)
    tidy(stack, sink)
    known = f"known/{safe_name(world.name_of(ann))}_{stamp(2)}_{short(world)}.jpg"
    unknown = f"unknown/{stamp(10).replace('_', '/')}_{short(world, 10)}.jpg"
    assert objects(store) == {known: b"picture 0 0.5", unknown: b"picture 10 0.5"}
    assert access_paths(world) == [known, unknown, unknown]


def test_a_name_that_is_taken_back_keeps_no_picture_and_a_new_one_finds_it(
    stack: Settings, world: World, store: FolderStore, sink: Snapshots
) -> None:
    ann, bob = world.add_employee("Ann"), world.add_employee("Bob")
    write(stack, sink, [world.sighting(employee=ann), world.shot()])
    write(stack, sink, [world.sighting(CHANGED, decided=2)])
    tidy(stack, sink)
    assert objects(store) == {}
    assert paths(world) == []
    write(stack, sink, [world.sighting(CHANGED, employee=bob, decided=3)])
    tidy(stack, sink)
    assert list(objects(store)) == paths(world)
    assert paths(world)[0].startswith("known/Bob_")


def test_a_change_back_does_not_lose_the_picture_that_was_to_be_deleted(
    stack: Settings, world: World, store: FolderStore, sink: Snapshots
) -> None:
    ann, bob = world.add_employee("Ann"), world.add_employee("Bob")
    write(
        stack,
        sink,
        [world.sighting(employee=ann, decided=1), world.shot()],
        [world.sighting(CHANGED, employee=bob, decided=1)],
        [world.sighting(CHANGED, employee=ann, decided=1)],
    )
    tidy(stack, sink)
    assert list(objects(store)) == paths(world)
    assert paths(world)[0].startswith("known/Ann_")


def test_a_shot_that_nobody_comes_for_is_dropped_after_a_day(
    stack: Settings, world: World, sink: Snapshots
) -> None:
    write(stack, sink, [world.shot(start=1), world.shot(start=2)])
    old, young = (sighting_id(world.track(start), 0) for start in (1, 2))
    world.db.execute(
        "UPDATE pending_snapshots SET arrived_at = now() - interval '25 hours'"
        " WHERE sighting_id = %s",
        (old,),
    )
    tidy(stack, sink)
    left = world.rows(
        "SELECT sighting_id::text FROM pending_snapshots WHERE sighting_id = ANY(%s::uuid[])",
        [old, young],
    )
    assert left == [{"sighting_id": young}]


def test_a_picture_that_somebody_has_removed_stops_nothing(
    stack: Settings, world: World, store: FolderStore, sink: Snapshots
) -> None:
    ann = world.add_employee("Ann")
    write(stack, sink, [world.sighting(stranger="x"), world.shot()])
    store.delete(paths(world)[0])
    write(stack, sink, [world.sighting(CHANGED, employee=ann, decided=2)])
    assert paths(world) == []


def test_an_unknown_camera_is_invalid(stack: Settings, world: World, sink: Snapshots) -> None:
    shot = world.shot()
    shot.camera_id = "nowhere"
    with pytest.raises(PoisonRecord, match="unknown_camera"):
        write(stack, sink, [shot])


def test_no_row_is_written_for_an_object_that_could_not_be(
    stack: Settings, world: World, tmp_path: Path
) -> None:
    (tmp_path / "objects").write_text("no folder")
    sink = Snapshots(stack, FolderStore(tmp_path / "objects"))
    with pytest.raises(InfrastructureError):
        write(stack, sink, [world.sighting(stranger="x"), world.shot()])
    assert paths(world) == []


@pytest.fixture
def bucket(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    import boto3
    from moto.server import ThreadedMotoServer

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="pictures")
        yield stack.model_copy(
            update={
                "s3_bucket": "pictures",
                "s3_endpoint_url": endpoint,
                "s3_prefix": "site/one",
            }
        )
    finally:
        server.stop()


def test_snapshots_go_to_s3_over_http(stack: Settings, world: World, bucket: Settings) -> None:
    ann = world.add_employee("Änn")
    store = open_store(bucket)
    sink = Snapshots(bucket, store)
    write(stack, sink, [world.sighting(stranger="x"), world.shot()])
    write(stack, sink, [world.sighting(CHANGED, employee=ann, decided=2), world.shot(0.9)])
    tidy(stack, sink)
    (path,) = paths(world)
    assert path.startswith("known/Änn_")
    assert objects(store) == {path: b"picture 0 0.9"}
    assert store.location(path) == f"s3://pictures/site/one/{path}"
    assert list(store.keys("unknown/")) == []


def test_a_bucket_deletes_many_at_once(bucket: Settings) -> None:
    store = open_store(bucket)
    keys = [f"many/{number}.jpg" for number in range(150)]
    for key in keys[:3]:
        store.put(key, b"x")
    store.put("many/kept.jpg", b"x")
    failed = store.delete_all([*keys, "../x"])
    assert list(failed) == ["../x"]
    assert list(store.keys("many/")) == ["many/kept.jpg"]
    assert store.delete_all([]) == {}


def test_a_bucket_that_is_not_there_is_one_clear_line(bucket: Settings) -> None:
    store = open_store(bucket.model_copy(update={"s3_bucket": "nowhere"}))
    with pytest.raises(InfrastructureError, match=r"s3://nowhere/site/one/a\.jpg") as caught:
        store.put("a.jpg", b"x")
    assert "\n" not in str(caught.value)


def test_an_object_whose_transaction_died_goes_unless_it_is_written_again(
    stack: Settings, world: World, sink: Snapshots, store: FolderStore
) -> None:
    ann, bob = world.add_employee("Ann"), world.add_employee("Bob")
    first = world.sighting(employee=ann)
    with connect(stack) as db:
        sink.write(db.cursor(), taken(sink, [world.shot(), first]))
        db.rollback()
    (key,) = objects(store)
    write(stack, sink, [world.shot(), first])
    noted = "SELECT FROM stale_objects WHERE key = %s"
    assert not world.rows(noted, key)

    second = world.sighting(employee=ann, start=1, decided=2)
    with connect(stack) as db:
        sink.write(db.cursor(), taken(sink, [world.shot(start=1), second]))
        db.rollback()
    # The batch that comes after has more in it: they were somebody else.
    better = world.sighting(CHANGED, employee=bob, start=1, decided=3)
    write(stack, sink, [world.shot(start=1), second, better])
    assert len(objects(store)) == 3
    tidy(stack, sink)
    assert len(objects(store)) == 3
    world.db.execute(
        "UPDATE stale_objects SET stale_at = now() WHERE key = ANY(%s)", (list(objects(store)),)
    )
    tidy(stack, sink)
    assert sorted(objects(store)) == sorted(paths(world))
