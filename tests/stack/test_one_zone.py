"""One zone for times: what the command line prints and takes is what the API takes and exports."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from schemas import sightline_pb2 as pb
from sightline.people.face_search import search_tracks
from sightline.runtime.clock import to_datetime
from sightline.runtime.display_zone import DisplayZone
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import DisplaySettings
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.visitor_log import VisitorLog
from tests.api_support import client_of, good
from tests.stack.commands_support import command, run
from tests.stack.sinks_support import World, at, new_world, write

pytestmark = pytest.mark.stack

TOKYO = ZoneInfo("Asia/Tokyo")
SETTING = {"SIGHTLINE_DISPLAY__TIMEZONE": "Asia/Tokyo", "COLUMNS": "250"}


@pytest.fixture(scope="module")
def world(stack: Settings) -> Iterator[World]:
    """Somebody at 1 s, and somebody else at 5 s."""
    with new_world(stack) as world:
        seen = [
            world.sighting(stranger="x", start=0, decided=1),
            world.sighting(stranger="y", start=4, decided=5),
        ]
        write(stack, AccessLog(stack), seen)
        write(stack, VisitorLog(stack), [world.motion(pb.MotionEvent.STARTED, 0), *seen])
        write(stack, PersonState(stack), seen, idle=True)
        yield world


def in_tokyo(seconds: float) -> str:
    """A moment as a clock in Tokyo shows it."""
    return f"{to_datetime(at(seconds)).astimezone(TOKYO):%Y-%m-%dT%H:%M:%S}"


def test_commands_and_the_api_agree_on_a_time_without_an_offset(
    stack: Settings, world: World
) -> None:
    here = ("logs", "access", "--camera", world.camera)
    shown = run(stack, *here, **SETTING)
    assert "Access log (Asia/Tokyo)" in shown
    for seconds in (1, 5):
        assert in_tokyo(seconds).replace("T", " ") in shown
    later = run(stack, *here, "--since", in_tokyo(3), **SETTING)
    assert in_tokyo(5).replace("T", " ") in later
    assert in_tokyo(1).replace("T", " ") not in later

    tokyo = stack.model_copy(update={"display": DisplaySettings(timezone="Asia/Tokyo")})
    with client_of(tokyo) as client:
        for url in ("/api/v1/sightings", "/api/v1/visitor-logs"):
            asked = {"camera": world.camera, "since": in_tokyo(-2)}
            assert len(good(client.get(url, params=asked))["items"]) == 2
        asked = {"camera": world.camera, "since": in_tokyo(3)}
        (row,) = good(client.get("/api/v1/sightings", params=asked))["items"]
        assert datetime.fromisoformat(row["timestamp"]) == to_datetime(at(5))
        asked = {"camera": world.camera, "until": in_tokyo(3)}
        (row,) = good(client.get("/api/v1/sightings", params=asked))["items"]
        assert datetime.fromisoformat(row["timestamp"]) == to_datetime(at(1))
        offset = {"camera": world.camera, "since": to_datetime(at(3)).isoformat()}
        assert len(good(client.get("/api/v1/sightings", params=offset))["items"]) == 1
        text = client.get(
            "/api/v1/sightings", params={"camera": world.camera, "format": "csv"}
        ).text
        times = [row["timestamp"] for row in csv.DictReader(io.StringIO(text))]
        assert all(time.endswith("+09:00") for time in times)
        assert [datetime.fromisoformat(time) for time in times] == [
            to_datetime(at(5)), to_datetime(at(1)),
        ]  # fmt: skip
        period = {"start": "2026-01-02T08:00", "end": "2026-01-02T08:00"}
        told = good(client.get("/api/module1/access-summary", params=period))["period"]
        assert datetime.fromisoformat(told["start"]) == datetime(2026, 1, 1, 23, tzinfo=UTC)


def test_the_zone_is_said_wherever_times_are_printed(stack: Settings, world: World) -> None:
    person = world.sighting(stranger="x").global_id
    for words in (
        ("logs", "visitors", "--camera", world.camera),
        ("logs", "persons", "--camera", world.camera),
        ("persons", "show", str(person)),
        ("audit", "list", "--limit", "2"),
        ("explain", world.sighting(stranger="x").sighting_id),
    ):
        assert "(Asia/Tokyo)" in run(stack, *words, **SETTING), words
    wrong = command(stack, "logs", "access", SIGHTLINE_DISPLAY__TIMEZONE="Tokyo")
    assert wrong.exit_code == 1
    assert "no time zone" in f"{wrong.output} {wrong.exception}"


def test_a_day_of_the_search_is_that_of_the_zone(stack: Settings, world: World) -> None:
    found = search_tracks(
        world.db, "test-pack", [0.5] * 4, camera=world.camera, zone=DisplayZone(TOKYO)
    )
    days: set[date] = {row["day"] for row in found}
    moments = [to_datetime(at(seconds)) for seconds in (0, 4)]
    assert days == {moment.astimezone(TOKYO).date() for moment in moments}
    assert days <= {moment.date() + timedelta(days=more) for moment in moments for more in (0, 1)}
