"""Objects that nothing points to are deleted beside the sink's work, and never stop it."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from ops.database.migrate import downgrade, upgrade
from ops.runs.tables import create_schema
from schemas import sightline_pb2 as pb
from schemas.topics import SIGHTINGS, SNAPSHOTS
from sightline.runtime.errors import InfrastructureError, UnreachableError
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, SettingsConnection, connect
from sightline.storage.objects import FolderStore
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from sinks.runtime.loop import SinkLoop
from sinks.snapshots import Snapshots
from tests.sealed import beside
from tests.stack.sinks_support import T0, World, new_world, taken
from tests.support import eventually

pytestmark = pytest.mark.stack

AT_ONCE = 100
CHANGED = pb.Sighting.CHANGED


class Store(FolderStore):
    """A folder that can be slow, or away."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before_delete: Callable[[], object] = lambda: None
        self.is_away = False

    def delete_all(self, keys: Sequence[str]) -> dict[str, str]:
        self.before_delete()
        if self.is_away:
            raise InfrastructureError("the store does not answer")
        return super().delete_all(keys)


class Clock:
    """Time that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def now_us(self) -> int:
        return T0


@pytest.fixture
def own(plain_stack: Settings) -> Iterator[Settings]:
    with beside(plain_stack) as settings:
        yield settings


@pytest.fixture
def world(own: Settings) -> Iterator[World]:
    with new_world(own) as world:
        yield world


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "objects")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sink(own: Settings, store: Store, clock: Clock) -> Iterator[Snapshots]:
    with closing(Snapshots(own, store, clock)) as sink:
        yield sink


@contextmanager
def at_work(settings: Settings, sink: Snapshots, stop: Stop) -> Iterator[None]:
    """The sink's loop in a thread; what ends it early fails the test."""
    ends: list[BaseException] = []

    def work() -> None:
        try:
            SinkLoop(sink, settings).run(stop)
        except BaseException as error:  # noqa: BLE001 - told to the test
            ends.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.request()
        thread.join(60)
    assert not ends
    assert not thread.is_alive()


def give_up(db: Connection, count: int) -> None:
    db.execute(
        "INSERT INTO stale_objects (key) SELECT 'unknown/' || n || '.jpg'"
        " FROM generate_series(1, %s) n",
        (count,),
    )


def left(world: World) -> int:
    return int(world.one("SELECT count(*) FROM stale_objects")["count"])


def noted(world: World, key: str) -> dict[str, Any]:
    return world.one("SELECT * FROM stale_objects WHERE key = %s", key)


def send(settings: Settings, world: World, start: float) -> None:
    """A track with its picture, to the topics."""
    producer = CheckedProducer(producer_config(settings, "test"))
    seen = world.sighting(stranger=f"at {start}", start=start, decided=start + 1)
    for topic, message in ((SNAPSHOTS, world.shot(start=start)), (SIGHTINGS, seen)):
        producer.send(
            OutputRecord(topic.name, world.site, message.SerializeToString(), T0 // 1000, None)
        )
    producer.flush(60)


def put_aside() -> float:
    return REGISTRY.get_sample_value("sightline_object_deletions_postponed_total") or 0.0


def test_each_slice_is_committed_by_itself(
    own: Settings, world: World, store: Store, sink: Snapshots
) -> None:
    store.put("unknown/7.jpg", b"x")
    give_up(world.db, 2 * AT_ONCE + 50)
    with connect(own) as db:
        assert sink.maintain(db)
        assert left(world) == AT_ONCE + 50
        assert sink.maintain(db)
        assert not sink.maintain(db)
    assert left(world) == 0
    assert list(store.keys()) == []


def test_a_sink_that_is_stopped_amid_a_backlog_keeps_what_it_has_done_and_beats(
    own: Settings, world: World, store: Store, sink: Snapshots
) -> None:
    class Beats(Stop):
        count = 0

        def beat(self) -> None:
            self.count += 1
            super().beat()

    stop = Beats(10)
    at_slice: list[int] = []

    def slow() -> None:
        at_slice.append(stop.count)
        if len(at_slice) == 5:
            stop.request()

    store.before_delete = slow
    give_up(world.db, 50 * AT_ONCE)
    with at_work(own, sink, stop):
        eventually(stop.is_set)
    assert left(world) == 45 * AT_ONCE
    assert at_slice == sorted(set(at_slice))  # it beats between any two


def test_pictures_are_written_while_a_backlog_is_deleted(
    own: Settings, world: World, store: Store, sink: Snapshots
) -> None:
    written = threading.Event()
    store.before_delete = lambda: written.wait(0.2)
    give_up(world.db, 500 * AT_ONCE)
    with at_work(own, sink, Stop(10)):
        eventually(lambda: left(world) < 500 * AT_ONCE)
        send(own, world, 0)
        picture = "SELECT FROM snapshots WHERE camera_id = %s"
        eventually(lambda: world.rows(picture, world.camera))
        assert left(world)
        # Three slices of the rest are enough to see its end, also on a loaded machine.
        world.db.execute(
            "DELETE FROM stale_objects WHERE key NOT IN (SELECT key FROM stale_objects LIMIT %s)",
            (3 * AT_ONCE,),
        )
        written.set()
        eventually(lambda: not left(world))


def test_an_object_that_cannot_be_deleted_is_put_aside(
    own: Settings,
    world: World,
    store: Store,
    sink: Snapshots,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "objects" / "unknown" / "dir.jpg"
    folder.mkdir(parents=True)
    (folder / "inside").touch()
    world.db.execute("INSERT INTO stale_objects (key) VALUES ('unknown/dir.jpg'), ('.no key')")
    give_up(world.db, 2)
    before = put_aside()
    with at_work(own, sink, Stop(10)), caplog.at_level(logging.WARNING):
        eventually(lambda: left(world) == 2)
        send(own, world, 0)
        eventually(lambda: world.rows("SELECT FROM snapshots WHERE camera_id = %s", world.camera))
        assert put_aside() == before + 2
        one = noted(world, "unknown/dir.jpg")
        assert one["attempts"] == 1
        assert "Is a directory" in one["last_error"]

        again = "UPDATE stale_objects SET stale_at = now() WHERE key = 'unknown/dir.jpg'"
        world.db.execute(again)
        eventually(lambda: noted(world, "unknown/dir.jpg")["attempts"] == 2)
        assert len([one for one in caplog.records if "cannot be deleted" in one.message]) == 1

        (folder / "inside").unlink()
        folder.rmdir()
        world.db.execute(again)
        eventually(lambda: left(world) == 1)
    assert noted(world, ".no key")["attempts"] == 1


def test_pauses_before_an_object_is_tried_again_grow_to_a_day(
    own: Settings, world: World, sink: Snapshots
) -> None:
    world.db.execute("INSERT INTO stale_objects (key) VALUES ('.no key')")
    pauses = []
    with connect(own) as db:
        for attempts in (0, 1, 4, 11, 5000):
            world.db.execute(
                "UPDATE stale_objects SET stale_at = now() - interval '1 s', attempts = %s",
                (attempts,),
            )
            sink.maintain(db)
            row = world.one(
                "SELECT extract(epoch FROM stale_at - now()) / 60 AS pause FROM stale_objects"
            )
            pauses.append(round(row["pause"]))
    assert pauses == [1, 2, 16, 24 * 60, 24 * 60]


def test_a_store_that_is_away_is_asked_again_later_and_nothing_put_aside(
    own: Settings, world: World, store: Store, sink: Snapshots, clock: Clock
) -> None:
    give_up(world.db, 3)
    store.is_away = True
    with connect(own) as db:
        assert not sink.maintain(db)
        store.is_away = False
        assert not sink.maintain(db)  # not yet
        assert world.rows("SELECT DISTINCT attempts FROM stale_objects") == [{"attempts": 0}]
        clock.now += 61
        sink.maintain(db)
    assert left(world) == 0


def test_pictures_of_a_batch_take_one_connection_and_one_note(
    own: Settings, world: World, sink: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    open_one = SettingsConnection.connect.__func__  # type: ignore[attr-defined]

    def counted(cls: type[SettingsConnection], *args: Any, **options: Any) -> SettingsConnection:
        opened.append(cls)
        connection: SettingsConnection = open_one(cls, *args, **options)
        return connection

    monkeypatch.setattr(SettingsConnection, "connect", classmethod(counted))
    with connect(own) as db:
        for batch in range(3):
            write(sink, db, *tracks(world, batch, 20))
    assert len(world.rows("SELECT FROM snapshots")) == 60
    assert len(opened) == 2
    assert left(world) == 0


def write(sink: Snapshots, db: Connection, *batch: pb.Snapshot | pb.Sighting) -> None:
    with db.transaction(), db.cursor() as cursor:
        sink.write(cursor, taken(sink, batch))


def tracks(world: World, batch: int, count: int) -> Iterator[pb.Snapshot | pb.Sighting]:
    for start in range(100 * batch, 100 * batch + count):
        yield world.shot(start=start)
        yield world.sighting(stranger=f"at {start}", start=start, decided=start + 1)


def test_a_connection_for_notes_that_was_cut_is_opened_again(
    own: Settings, world: World, sink: Snapshots
) -> None:
    with connect(own) as db:
        write(sink, db, *tracks(world, 0, 1))
        world.db.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid NOT IN (%s, %s)",
            (db.info.backend_pid, world.db.info.backend_pid),
        )
        write(sink, db, *tracks(world, 1, 1))
    assert len(world.rows("SELECT FROM snapshots")) == 2


def test_notes_that_cannot_be_written_are_a_database_that_is_away(
    own: Settings, world: World, store: Store
) -> None:
    nowhere = SecretStr("postgresql://x:x@127.0.0.1:1/x")
    sink = Snapshots(own.model_copy(update={"database_url": nowhere}), store)
    with connect(own) as db, pytest.raises(UnreachableError):
        write(sink, db, *tracks(world, 0, 1))
    assert list(store.keys()) == []  # nothing is written that no note tells of


def test_a_transaction_does_not_wait_for_itself_to_note_what_it_writes_again(
    own: Settings, world: World, store: Store, sink: Snapshots
) -> None:
    """A batch with a bad record is written by halves, all in one transaction."""
    ann, bob = world.add_employee("Ann"), world.add_employee("Bob")
    steps: list[list[pb.Snapshot | pb.Sighting]] = [
        [world.sighting(employee=ann, decided=1), world.shot()],
        [world.sighting(CHANGED, employee=bob, decided=1)],
        [world.sighting(CHANGED, employee=ann, decided=1)],
    ]
    with connect(own) as db:
        for _ in range(2):  # the first time it dies
            with db.transaction(), db.cursor() as cursor:
                for step in steps:
                    sink.write(cursor, taken(sink, step))
                (key,) = store.keys("known/Ann_")
            assert world.rows("SELECT FROM snapshots WHERE path = %s", key)
        assert not world.rows("SELECT FROM stale_objects WHERE key = %s", key)
        while sink.maintain(db):
            pass
    assert list(store.keys()) == [key]


def test_tables_of_runs_can_put_objects_aside_after_an_upgrade(own: Settings) -> None:
    downgrade(own, "0010")
    with connect(own) as db:
        create_schema(db.cursor(), "before")
    upgrade(own)
    settings = own.model_copy(update={"run": "before"})
    with connect(settings) as db:
        db.execute("INSERT INTO run_before.stale_objects (key, attempts) VALUES ('x', 1)")
