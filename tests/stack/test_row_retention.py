"""Old rows go with their pictures; what is younger, referred to or enrolled stays."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import numpy as np
import pytest
from psycopg import sql

from ops.runs.tables import create_replaced, drop_any_schema
from schemas import sightline_pb2 as pb
from schemas.ids import global_id, sighting_id
from sightline.people import person_rows
from sightline.runtime.clock import SystemClock, to_datetime
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import RetentionSettings
from sightline.storage.objects import open_store
from sightline.storage.run_schemas import ROWS
from sinks import row_retention
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.snapshots import Snapshots
from sinks.visitor_log import VisitorLog
from tests.least_rights import as_service
from tests.stack.sinks_support import World, at, new_world, write

pytestmark = pytest.mark.stack

LONG_AGO = timedelta(days=400)


@pytest.fixture
def world(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(row_retention, "_BATCH_ROWS", 1)  # several batches
    expire(stack)  # of other tests
    with new_world(stack) as world:
        yield world


def expire(stack: Settings, **days: float) -> dict[str, int]:
    """What the service does, for the rows of a year ago where nothing else is said."""
    wanted = RetentionSettings(**({"picture_days": 365} | days))
    settings = stack.model_copy(update={"retention": wanted})
    gone = row_retention.expire(as_service(settings, "retention"), SystemClock(), Stop(10))
    write(stack, Snapshots(stack, open_store(stack)), [], idle=True)  # deletes objects
    return gone


def see(
    stack: Settings,
    world: World,
    start: float,
    employee: str | None = None,
    stranger: str | None = None,
) -> None:
    """Somebody comes by: an event with a visit, a track, an access row, a picture."""
    store = open_store(stack)
    end = start + 5
    decision = world.sighting(start=start, decided=start + 1, employee=employee, stranger=stranger)
    decision.motion_event_id = world.event(start)
    frames = [
        world.frame(start, [(start, (0, 0, 9, 9))], event=start),
        world.frame(end, event=start, last=True),
    ]
    motion = [
        world.motion(pb.MotionEvent.STARTED, start),
        world.motion(pb.MotionEvent.ENDED, start, end),
    ]
    shot = world.shot(start=start, captured=start + 1)
    write(stack, AccessLog(stack), [decision])
    write(stack, VisitorLog(stack), [*motion, *frames, decision])
    write(stack, PersonState(stack), [*frames, decision], idle=True)
    write(stack, Snapshots(stack, store), [decision, shot])


def age(world: World, start: float, *, told: bool = True, written: bool = True) -> None:
    """Let what came by be of long ago: what the rows tell, when they were written, or both."""
    of_row = {"id": sighting_id(world.track(start), 0), "track": world.track(start)}
    of_row |= {"event": world.event(start), "by": LONG_AGO}  # type: ignore[dict-item]
    columns = [
        ("access_logs", "id = %(id)s", ["timestamp"], "recorded_at"),
        ("visitor_logs", "motion_event_id = %(event)s", ["visited_at"], "created_at"),
        (
            "motion_events",
            "event_id = %(event)s",
            ["started_at", "ended_at", "last_frame_at"],
            "created_at",
        ),
        ("person_tracks", "track_uuid = %(track)s", ["first_seen", "last_seen"], "kept_since"),
        ("snapshot_owners", "sighting_id = %(id)s", ["decided_at"], "kept_since"),
        ("snapshots", "sighting_id = %(id)s", ["decided_at"], "kept_since"),
    ]
    for table, which, telling, writing in columns:
        changed = [*(telling if told else []), *([writing] if written else [])]
        sets = ", ".join(f"{column} = {column} - %(by)s" for column in changed)
        world.db.execute(f"UPDATE {table} SET {sets} WHERE {which}", of_row)


def left(world: World, start: float) -> dict[str, int]:
    """How many rows there are of what came by."""
    sighting = sighting_id(world.track(start), 0)
    asked = {
        "access_logs": ("id", sighting),
        "visitor_logs": ("motion_event_id", world.event(start)),
        "visit_evidence": ("motion_event_id", world.event(start)),
        "motion_events": ("event_id", world.event(start)),
        "person_tracks": ("track_uuid", world.track(start)),
        "snapshot_owners": ("sighting_id", sighting),
        "snapshots": ("sighting_id", sighting),
    }
    return {
        table: world.one(f"SELECT count(*) FROM {table} WHERE {column} = %s", value)["count"]
        for table, (column, value) in asked.items()
    }


ALL = dict.fromkeys(
    (
        "access_logs",
        "visitor_logs",
        "visit_evidence",
        "motion_events",
        "person_tracks",
        "snapshot_owners",
        "snapshots",
    ),
    1,
)
NONE = dict.fromkeys(ALL, 0)


def path(world: World, start: float) -> str:
    sighting = sighting_id(world.track(start), 0)
    return str(world.one("SELECT path FROM snapshots WHERE sighting_id = %s", sighting)["path"])


def test_what_is_old_goes_with_its_picture_and_the_enrolled_stay(
    stack: Settings, world: World
) -> None:
    store = open_store(stack)
    ann = world.add_employee("Ann")
    world.db.execute(
        "INSERT INTO face_templates (employee_id, pack, embedding, quality)"
        " VALUES (%s, 'test-pack', %s, 1)",
        (ann, np.full(4, 0.5)),
    )
    for start in (0, 100, 200, 300):
        see(stack, world, start, employee=ann)
        assert left(world, start) == ALL
    people = world.rows("SELECT * FROM employees WHERE id = %s", ann)
    old = [path(world, 0), path(world, 100)]
    young = [path(world, 200), path(world, 300)]
    age(world, 0)
    age(world, 100)
    age(world, 200, written=False)  # an old film that was read today
    age(world, 300, told=False)
    gone = expire(stack)
    assert {table: gone[table] >= 2 for table in gone} == dict.fromkeys(gone, True)
    assert left(world, 0) == left(world, 100) == NONE
    assert left(world, 200) == left(world, 300) == ALL
    keys = set(store.keys())
    assert not keys & set(old)
    assert set(young) <= keys
    assert world.rows("SELECT * FROM employees WHERE id = %s", ann) == people
    looks = world.one("SELECT count(*) FROM face_templates WHERE employee_id = %s", ann)
    assert looks["count"] == 1

    with world.db.cursor() as cursor:
        cursor.execute("SELECT FROM stale_persons WHERE global_id = %s", (global_id(ann),))
        assert cursor.rowcount == 1, "the person's row is summed up anew"
        person_rows.compute(cursor, [global_id(ann)], people[0]["enrolled_at"])
    person = world.one("SELECT * FROM detected_persons WHERE global_id = %s", global_id(ann))
    assert person["total_appearances"] == 2
    assert expire(stack) == dict.fromkeys(gone, 0)


def test_a_picture_that_a_younger_row_points_to_stays(stack: Settings, world: World) -> None:
    see(stack, world, 0, stranger="x")
    see(stack, world, 10, stranger="x")
    shared = path(world, 0)
    assert path(world, 10) == shared, "one of two snapshots within 30 s"
    age(world, 0)
    expire(stack)
    assert left(world, 0) == NONE | {"snapshot_owners": 1, "snapshots": 1}
    assert shared in set(open_store(stack).keys())
    age(world, 10)
    expire(stack)
    assert left(world, 0) == left(world, 10) == NONE
    assert shared not in set(open_store(stack).keys())


def test_without_its_picture_the_log_stays(stack: Settings, world: World) -> None:
    see(stack, world, 0, stranger="x")
    age(world, 0)
    expire(stack, access_log_days=0, visitor_log_days=0, person_track_days=0)
    assert left(world, 0) == ALL | {"snapshot_owners": 0, "snapshots": 0}
    row = world.one(
        "SELECT snapshot_path FROM access_logs WHERE id = %s", sighting_id(world.track(0), 0)
    )
    assert row["snapshot_path"] is None


def test_what_somebody_refers_to_stays(stack: Settings, world: World) -> None:
    ann = world.add_employee("Ann")
    taught, corrected = 0.0, 100.0
    for start in (taught, corrected):
        see(stack, world, start, employee=ann)
        age(world, start)
    world.db.execute(
        "INSERT INTO face_templates (template_id, employee_id, pack, embedding, quality, source)"
        " VALUES (%s, %s, 'test-pack', %s, 1, 'sighting')",
        (sighting_id(world.track(taught), 0), ann, np.full(4, 0.5)),
    )
    world.db.execute(
        "WITH said AS (INSERT INTO corrections (correction_id, kind, details)"
        " VALUES (gen_random_uuid(), 'split', '{}') RETURNING correction_id)"
        " INSERT INTO track_corrections SELECT %s, 1, correction_id FROM said",
        (world.track(corrected),),
    )
    expire(stack)
    assert left(world, taught) == NONE | {"access_logs": 1, "person_tracks": 1}
    assert left(world, corrected) == NONE | {"person_tracks": 1}


def test_what_a_promoted_run_has_replaced_goes_with_its_event(
    stack: Settings, world: World
) -> None:
    for start in (0, 100):
        see(stack, world, start, stranger="x")
    run = f"retention_{world.id}"
    world.db.execute(
        "INSERT INTO runs (name, from_at, to_at, cameras) VALUES (%s, %s, %s, '{}')",
        (run, to_datetime(at(0)), to_datetime(at(86_400))),
    )
    added = world.one("INSERT INTO promotions (run) VALUES (%s) RETURNING promotion_id", run)
    promotion = added["promotion_id"]
    with world.db.transaction(), world.db.cursor() as cursor:
        aside = create_replaced(cursor, promotion)
        for start in (0, 100):
            cursor.execute(
                "INSERT INTO promoted_events VALUES (%s, %s, now(), now(), %s)",
                (world.event(start), world.camera, promotion),
            )
        for table in ROWS:
            cursor.execute(
                sql.SQL("INSERT INTO {} SELECT * FROM {}").format(
                    sql.Identifier(aside, table), sql.Identifier("public", table)
                )
            )
        cursor.execute(
            sql.SQL("UPDATE {} SET path = 'live/' || path").format(
                sql.Identifier(aside, "snapshots")
            )
        )
    replaced = [f"live/{path(world, start)}" for start in (0, 100)]
    store = open_store(stack)
    for key in replaced:
        store.put(key, b"as the live pass saw it")

    age(world, 0)
    expire(stack, picture_days=0)
    assert left(world, 0) == NONE | {"snapshot_owners": 1, "snapshots": 1}
    kept = world.rows("SELECT event_id FROM promoted_events WHERE promotion_id = %s", promotion)
    assert [event["event_id"] for event in kept] == [UUID(world.event(100))]
    assert [key in set(store.keys()) for key in replaced] == [False, True]
    world.db.execute(f"SET search_path = {aside}, public")
    assert left(world, 0) == NONE
    assert left(world, 100) == ALL

    world.db.execute("SET search_path = public")
    world.db.execute("DELETE FROM promoted_events WHERE promotion_id = %s", (promotion,))
    world.db.execute("DELETE FROM promotions WHERE promotion_id = %s", (promotion,))
    world.db.execute("DELETE FROM runs WHERE name = %s", (run,))
    with world.db.cursor() as cursor:
        drop_any_schema(cursor, aside)
