"""Rows of people whom no face identified: access log, visit, picture, and what becomes of them."""

from pathlib import Path

import pytest

from schemas import sightline_pb2 as pb
from schemas.ids import visitor_log_id
from sightline.people import visit_rows
from sightline.runtime.settings import Settings
from sightline.storage.camera_fixtures import recent
from sightline.storage.objects import open_store
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.snapshots import Snapshots
from sinks.visitor_log import VisitorLog
from tests.api_support import client_of, good
from tests.stack.commands_support import run, sightline_json
from tests.stack.sinks_support import World, at, new_world, write

pytestmark = pytest.mark.stack

UNIDENTIFIED, CHANGED = pb.Sighting.UNIDENTIFIED, pb.Sighting.CHANGED
FIXTURE = pb.Sighting.FIXTURE


def unidentified(world: World, *, start: float = 0, decided: float = 9) -> pb.Sighting:
    sighting = world.sighting(
        UNIDENTIFIED, start=start, decided=decided, confidence=0.0, attempts=14,
        reason="face turned away in 14 of 14 looks",
    )  # fmt: skip
    sighting.refusals["turned"] = 14
    return sighting


def body(world: World, *, start: float = 0, quality: float = 0.9) -> pb.Snapshot:
    snapshot = world.shot(quality, start=start)
    snapshot.kind = pb.EVIDENCE_KIND_BODY
    return snapshot


def write_all(stack: Settings, tmp_path: Path, *messages: pb.Sighting | pb.Snapshot) -> None:
    store = open_store(stack.model_copy(update={"home": tmp_path}))
    sightings = [message for message in messages if isinstance(message, pb.Sighting)]
    write(stack, AccessLog(stack), sightings)
    write(stack, VisitorLog(stack), sightings)
    write(stack, PersonState(stack), sightings)
    write(stack, Snapshots(stack, store), messages)


def test_a_row_a_visit_and_a_picture_of_the_body(stack: Settings, tmp_path: Path) -> None:
    with new_world(stack) as world:
        write(stack, VisitorLog(stack), [world.motion(pb.MotionEvent.STARTED, 0)])
        write_all(stack, tmp_path, body(world), unidentified(world), unidentified(world, start=1))
        first, second = world.rows(
            "SELECT * FROM access_logs WHERE site_id = %s ORDER BY first_seen", world.site
        )
        assert (first["person_name"], first["access_status"]) == ("Unknown", "unknown")
        assert first["global_id"] is None and not first["flagged"] and not first["is_authorized"]
        assert first["reason"] == "face turned away in 14 of 14 looks"
        assert (first["face_attempts"], first["refusals"]) == (14, {"turned": 14})
        assert first["snapshot_path"].startswith("unknown/")
        assert second["snapshot_path"] is None, "nobody else's picture"
        visits = world.rows("SELECT * FROM visitor_logs WHERE camera_name = %s", world.camera)
        assert [visit["global_id"] for visit in visits] == [None, None]
        assert {str(visit["visitor_log_id"]) for visit in visits} == {
            visitor_log_id(world.event(), world.track(start)) for start in (0, 1)
        }
        again = [world.motion(pb.MotionEvent.ENDED, 0, 20)]
        write(stack, VisitorLog(stack), again, [unidentified(world)])
        assert len(world.rows("SELECT FROM visitor_logs WHERE camera_name = %s", world.camera)) == 2


def test_a_picture_of_a_face_is_better_than_any_of_a_body(stack: Settings, tmp_path: Path) -> None:
    with new_world(stack) as world:
        face = world.shot(0.2)
        write_all(stack, tmp_path, body(world), face, body(world, quality=1.0), unidentified(world))
        row = world.one("SELECT path FROM snapshots WHERE camera_id = %s", world.camera)
        store = open_store(stack.model_copy(update={"home": tmp_path}))
        assert store.get(row["path"]) == face.jpeg


def test_an_identity_takes_the_place_of_the_row_and_gives_it_back(
    stack: Settings, tmp_path: Path
) -> None:
    with new_world(stack) as world:
        write(stack, VisitorLog(stack), [world.motion(pb.MotionEvent.STARTED, 0)])
        write_all(stack, tmp_path, body(world), unidentified(world))
        query = "SELECT global_id, access_status FROM access_logs WHERE site_id = %s"
        named = world.sighting(CHANGED, stranger="x", decided=10)
        write_all(stack, tmp_path, named)
        assert world.one(query, world.site)["global_id"] == named.global_id
        visits = "SELECT global_id FROM visitor_logs WHERE camera_name = %s"
        assert world.one(visits, world.camera)["global_id"] == named.global_id
        write_all(stack, tmp_path, unidentified(world, decided=11))
        assert world.one(query, world.site)["global_id"] is None
        assert world.one(visits, world.camera)["global_id"] is None
        picture = world.one("SELECT snapshot_path FROM access_logs WHERE site_id = %s", world.site)
        assert picture["snapshot_path"], "its picture came back with it"
        with world.db.transaction(), world.db.cursor() as cursor:
            visit_rows.compute(cursor, [world.event()])
        assert world.one(visits, world.camera)["global_id"] is None


def test_times_of_a_row_are_first_seen_and_the_end(stack: Settings, tmp_path: Path) -> None:
    with new_world(stack) as world:
        write_all(stack, tmp_path, unidentified(world, start=2, decided=9))
        row = world.one(
            "SELECT first_seen, timestamp FROM access_logs WHERE site_id = %s", world.site
        )
        assert (row["timestamp"] - row["first_seen"]).total_seconds() == 7
        assert at(9) - at(2) == 7_000_000


def test_a_fixture_has_no_row_and_is_shown_with_its_mask(stack: Settings, tmp_path: Path) -> None:
    with new_world(stack) as world:
        portrait = world.sighting(
            FIXTURE, decided=9, events=4, is_picture=True, fixture_since_us=at(-60)
        )
        write_all(stack, tmp_path, world.sighting(stranger="x"), portrait)
        assert not world.rows("SELECT FROM access_logs WHERE site_id = %s", world.site)
        assert not world.rows("SELECT FROM visitor_logs WHERE camera_name = %s", world.camera)
        (fixture,) = [row for row in recent(world.db) if row.camera_id == world.camera]
        assert (fixture.events, fixture.is_picture) == (4, True)
        assert fixture.mask == "0.2,0.1,0.3,0.1,0.3,0.75,0.2,0.75"
        later = world.sighting(FIXTURE, decided=12, events=5, fixture_since_us=at(-60))
        write(stack, AccessLog(stack), [later])
        (fixture,) = [row for row in recent(world.db) if row.camera_id == world.camera]
        assert (fixture.events, fixture.is_picture) == (5, True)
        many = [
            world.sighting(FIXTURE, start=number, decided=20, events=3, fixture_since_us=at(number))
            for number in range(320)
        ]
        write(stack, AccessLog(stack), many)
        assert len([row for row in recent(world.db) if row.camera_id == world.camera]) == 32


def test_who_stays_over_two_events_has_one_row(stack: Settings) -> None:
    with new_world(stack) as world:
        first = world.sighting(stranger="x")
        stays = world.sighting(
            stranger="x", start=20, decided=21, continues=first.sighting_id,
            continues_from_us=first.decided_at_us,
        )  # fmt: skip
        write(stack, AccessLog(stack), [first], [stays], [stays])
        query = "SELECT id::text FROM access_logs WHERE site_id = %s ORDER BY timestamp"
        assert [row["id"] for row in world.rows(query, world.site)] == [first.sighting_id]
        changed = world.sighting(CHANGED, stranger="y", decided=30)
        write(stack, AccessLog(stack), [changed], [stays])
        ids_of = [row["id"] for row in world.rows(query, world.site)]
        assert ids_of == [stays.sighting_id, first.sighting_id], "its row is another's now"


def test_commands_and_api_show_them_and_leave_them_out(stack: Settings, tmp_path: Path) -> None:
    with new_world(stack) as world, client_of(stack) as client:
        write(stack, VisitorLog(stack), [world.motion(pb.MotionEvent.STARTED, 0)])
        write_all(
            stack, tmp_path, unidentified(world), world.sighting(stranger="x", start=4, decided=5)
        )
        for log, path in (("access", "sightings"), ("visitors", "visitor-logs")):
            here = ("logs", log, "--camera", world.camera)
            shown = {
                option: [row["is_identified"] for row in sightline_json(stack, *here, *option)]
                for option in ((), ("--identified",), ("--unidentified",))
            }
            assert sorted(shown[()]) == [False, True]
            assert (shown["--identified",], shown["--unidentified",]) == ([True], [False])
            where = {"camera": world.camera, "identified": "false"}
            (row,) = good(client.get(f"/api/v1/{path}", params=where))["items"]
            assert (row["global_id"], row["is_identified"]) == (None, False)
            text = client.get(f"/api/v1/{path}", params=where | {"format": "csv"}).text
            assert len(text.splitlines()) == 2
        assert (
            "turned=14"
            in client.get(
                "/api/v1/sightings", params={"camera": world.camera, "format": "csv"}
            ).text
        )
        assert "unidentified" in run(stack, "logs", "access", "--camera", world.camera)
