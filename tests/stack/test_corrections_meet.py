"""Corrections and what else happens: sinks at the same time, photos that learn, the clean-up."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas import sightline_pb2 as pb
from schemas.ids import sighting_id
from schemas.naming import AdvisoryLock
from schemas.topics import GALLERY
from sightline.people.corrections import merge, name_person, reject_identity
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.snapshots import Snapshots
from tests.stack.corrections_support import Logs
from tests.stack.sinks_support import World, at, new_world, taken, write
from tests.support import eventually

pytestmark = pytest.mark.stack

CHANGED, ENDED = pb.Sighting.CHANGED, pb.Sighting.ENDED


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


@pytest.fixture
def logs(stack: Settings, world: World, tmp_path: Path) -> Logs:
    return Logs(stack, world, tmp_path / "objects")


def waits_for_a_lock(world: World) -> bool:
    return bool(
        world.rows(
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s",
            AdvisoryLock.CORRECTIONS & 0xFFFFFFFF,
        )
    )


def test_a_correction_waits_for_a_sink_that_is_writing(
    stack: Settings, world: World, logs: Logs
) -> None:
    logs.tell(world.sighting(stranger="x"))
    x, y = (world.sighting(stranger=one).global_id for one in "xy")
    logs.tell(world.sighting(stranger="y", start=100, decided=101))
    sink = AccessLog(stack)
    late = world.sighting(stranger="x", start=200, decided=201)
    with connect(stack) as db:
        with db.transaction(), db.cursor() as cursor:
            sink.write(cursor, taken(sink, [late]))
            merging = threading.Thread(target=logs.correct, args=(merge, x, y))
            merging.start()
            eventually(lambda: waits_for_a_lock(world))
        merging.join(10)
    assert {row[1] for row in logs.said()["access"]} == {y}


def test_a_sink_waits_for_a_correction_that_is_made(
    stack: Settings, world: World, logs: Logs
) -> None:
    logs.tell(world.sighting(stranger="x"), world.sighting(stranger="y", start=100, decided=101))
    x, y = (world.sighting(stranger=one).global_id for one in "xy")
    late = world.sighting(stranger="x", start=200, decided=201)
    with connect(stack) as db:
        with db.transaction(), db.cursor() as cursor:
            merge(cursor, x, y)
            writing = threading.Thread(target=write, args=(stack, AccessLog(stack), [late]))
            writing.start()
            eventually(lambda: waits_for_a_lock(world))
        writing.join(10)
    assert {row[1] for row in logs.said()["access"]} == {y}


def test_sinks_and_corrections_at_once_leave_one_truth(
    stack: Settings, world: World, logs: Logs
) -> None:
    """Four sinks write the same tracks over and over while people are merged and taken apart."""
    told = [world.sighting(stranger="abc"[n % 3], start=n * 40, decided=n * 40 + 1)
            for n in range(12)]  # fmt: skip
    logs.tell(world.motion(pb.MotionEvent.STARTED, 0), *told)
    people = [world.sighting(stranger=one).global_id for one in "abc"]
    done = threading.Event()
    failures: list[BaseException] = []

    def keep_writing() -> None:
        try:
            while not done.is_set():
                for sink in logs.sinks():
                    write(stack, sink, told, idle=True)
        except BaseException as error:
            failures.append(error)
            raise

    writers = [threading.Thread(target=keep_writing) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        logs.correct(name_person, people[0], "Courier")
        for n in (0, 3, 1):
            logs.correct(reject_identity, UUID(world.track(n * 40)))
        logs.correct(merge, people[1], people[2])
        logs.correct(merge, people[0], people[2])
    finally:
        done.set()
        for writer in writers:
            writer.join(60)
    assert not failures
    apart = {logs.who(start) for start in (0, 120, 40)}
    assert len(apart) == 3
    rest = {logs.who(n * 40) for n in range(12) if n not in (0, 3, 1)}
    assert rest == {(people[2], "Courier")}


def look(angle: float) -> NDArray[np.float32]:
    """A face at a cosine of cos(angle) to the photo's."""
    vector = np.zeros(4, np.float32)
    vector[:2] = np.cos(angle), np.sin(angle)
    return vector


def enrol(world: World, name: str) -> tuple[str, int]:
    employee = world.add_employee(name)
    world.db.execute(
        "INSERT INTO face_templates (employee_id, pack, embedding, quality)"
        " VALUES (%s, 'test-pack', %s, 0.9)",
        (employee, look(0)),
    )
    row = world.one("SELECT global_id FROM employees WHERE id = %s", employee)
    return employee, int(row["global_id"])


def test_who_is_enrolled_learns_the_looks_that_agree_and_unlearns_a_mistake(
    world: World, logs: Logs
) -> None:
    employee, ann = enrol(world, "Ann")
    angles = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.5]  # the last is another face
    logs.tell(
        *(
            world.sighting(
                stranger="x", start=n, decided=n + 1, template=look(angle).tobytes(),
                face_quality=0.1 * n,
            )
            for n, angle in enumerate(angles)
        )
    )  # fmt: skip
    logs.correct(merge, world.sighting(stranger="x").global_id, ann)

    def learned() -> list[str]:
        rows = world.rows(
            "SELECT template_id::text FROM face_templates WHERE employee_id = %s"
            " AND source = 'sighting' ORDER BY quality DESC",
            employee,
        )
        return [row["template_id"] for row in rows]

    def published() -> pb.GalleryPerson:
        row = world.one(
            "SELECT value FROM outbox WHERE topic = %s AND key = %s ORDER BY id DESC LIMIT 1",
            GALLERY.name, employee.encode(),
        )  # fmt: skip
        return pb.GalleryPerson.FromString(row["value"])

    assert learned() == [sighting_id(world.track(n), 0) for n in (5, 4, 3, 2, 1)]
    assert len(published().templates) == 6
    logs.correct(reject_identity, UUID(world.track(5)))
    assert learned() == [sighting_id(world.track(n), 0) for n in (4, 3, 2, 1)]
    assert len(published().templates) == 5


def test_strangers_without_a_name_leave_after_a_week(
    stack: Settings, world: World, logs: Logs
) -> None:
    ann = world.add_employee("Ann")
    logs.tell(
        world.sighting(stranger="x"),
        world.sighting(stranger="named", start=50, decided=51),
        world.sighting(employee=ann, start=100, decided=101),
    )
    logs.correct(name_person, world.sighting(stranger="named").global_id, "Courier")

    class NextWeek:
        def __init__(self, days: float) -> None:
            self.us = at(101 + timedelta(days=days).total_seconds())

        def now_us(self) -> int:
            return self.us

        def monotonic(self) -> float:
            return self.us / 1e6

    def kept(days: float) -> int:
        # What the database's own clock says of rows written just now is as old as the film.
        world.db.execute("UPDATE detected_persons SET updated_at = last_seen, is_active = false")
        write(stack, PersonState(stack, NextWeek(days)), [], idle=True)
        return len(logs.said()["persons"])

    assert (kept(6.9), kept(7.1)) == (3, 2)
    assert len(logs.said()["access"]) == 3
    # Seen again they are back, with all that was seen of them.
    logs.tell(world.sighting(stranger="x", start=200, decided=201))
    x = world.sighting(stranger="x").global_id
    assert {person[0]: person[3] for person in logs.said()["persons"]}[x] == 2


@pytest.mark.parametrize("again", [False, True])
def test_the_end_of_a_track_makes_a_visit_surer_and_never_less(
    world: World, logs: Logs, again: bool
) -> None:
    def sure() -> float:
        (visit,) = logs.said()["visits"]
        return float(visit[4])

    first = world.sighting(stranger="x", confidence=0.7)
    surer = world.sighting(ENDED, stranger="x", confidence=0.9)
    logs.tell(world.motion(pb.MotionEvent.STARTED, 0), first)
    logs.tell(*([first, surer] if again else [surer]))
    assert sure() == pytest.approx(0.9)
    logs.tell(first, world.sighting(ENDED, stranger="x", confidence=0.5))
    assert sure() == pytest.approx(0.9)
    logs.tell(world.sighting(ENDED, stranger="y", confidence=0.95))  # of whom it was not
    assert sure() == pytest.approx(0.9)
    logs.tell_all_again()
    assert sure() == pytest.approx(0.9)
    logs.tell(world.sighting(CHANGED, stranger="y", decided=2, confidence=0.6))
    assert sure() == pytest.approx(0.6)


def test_pictures_that_stood_for_others_follow_their_person(
    stack: Settings, world: World, logs: Logs
) -> None:
    """An unknown person's shots within 30 s share one picture, whoever they turn out to be."""
    logs.tell(
        *(world.shot(0.5, start=start) for start in (0, 10)),
        world.sighting(stranger="x"),
        world.sighting(stranger="x", start=10, decided=11),
    )
    world.db.execute("DELETE FROM pending_snapshots")  # as an hour later
    first, second = (world.track(start) for start in (0, 10))
    assert logs.pictures()[first] == logs.pictures()[second]
    x, y = (world.sighting(stranger=one).global_id for one in "xy")
    logs.tell(world.sighting(stranger="y", start=500, decided=501))
    logs.correct(merge, x, y)
    logs.settle()
    assert logs.pictures() == {first: logs.pictures()[first], second: logs.pictures()[first]}
    logs.correct(name_person, y, "Courier")
    logs.settle()
    assert logs.pictures()[first] == logs.pictures()[second]
    assert logs.pictures()[first].startswith("known/Courier_")
    assert list(logs.store.keys("")) == [logs.pictures()[first]]
    # The picture was of the first: the second has none left of its own.
    logs.correct(reject_identity, UUID(first))
    logs.settle()
    assert list(logs.pictures()) == [first]
    assert logs.pictures()[first].startswith("unknown/")


def test_many_pictures_are_moved_in_parts(
    stack: Settings, world: World, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.snapshots._CORRECTED_AT_ONCE", 3)
    starts = [n * 40 for n in range(5)]
    logs.tell(
        *(world.shot(0.5, start=start) for start in starts),
        *(world.sighting(stranger="x", start=start, decided=start + 1) for start in starts),
    )
    logs.correct(name_person, world.sighting(stranger="x").global_id, "Courier")
    sink = Snapshots(stack, logs.store)
    moved = []
    for _ in range(2):
        write(stack, sink, [], idle=True)
        moved.append(sum(path.startswith("known/") for path in logs.pictures().values()))
    assert moved == [3, 5]
