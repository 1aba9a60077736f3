"""`sightline camera`, as a person types it."""

import json
import math
from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas import sightline_pb2 as pb
from schemas.decode import decode
from schemas.topics import FACTS
from sightline.runtime.errors import NotFoundError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import cameras, walking_times
from sightline.storage.cameras import NewCamera
from sightline.storage.db import connect
from tests.stack.camera_support import make_film
from tests.stack.commands_support import run, sightline_json
from tests.support import read_topic, run_sightline

pytestmark = pytest.mark.stack


def test_add_list_test_remove(stack: Settings, tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.avi", frames=20)
    run(
        stack, "camera", "add", "cmd-1", str(film), "--site", "cmd", "--fleet", "cmd",
        "--entry-point", "front door", "--room", "cmd-lobby", "--pace", "fast", "--no-motion",
    )  # fmt: skip
    (row,) = [one for one in sightline_json(stack, "camera", "list") if one["name"] == "cmd-1"]
    assert (row["site"], row["fleet"], row["slot"], row["status"]) == ("cmd", "cmd", 0, "new")
    assert (row["entry_point"], row["room"]) == ("front door", "cmd-lobby")
    assert row["settings"]["motion"] is False

    tried = sightline_json(stack, "camera", "test", "cmd-1")
    assert (tried["width"], tried["height"], tried["fps"]) == (320, 240, 10.0)
    assert tried["first_picture_ms"] >= 0

    topics = sightline_json(stack, "topics", "list")
    assert "frames.cmd" in json.dumps(topics)

    with connect(stack) as connection:
        connection.execute(
            "INSERT INTO motion_events (event_id, camera_id, started_at, first_sequence)"
            " VALUES (gen_random_uuid(), 'cmd-1', now(), 1)"
        )
    run(stack, "camera", "remove", "cmd-1")
    assert "cmd-1" not in [one["name"] for one in sightline_json(stack, "camera", "list")]
    assert "cmd-1" not in [one["camera"] for one in sightline_json(stack, "status")["cameras"]]
    with connect(stack) as connection:
        kept = connection.execute("SELECT count(*) FROM motion_events WHERE camera_id = 'cmd-1'")
        assert kept.fetchone() == (1,)
        connection.execute("DELETE FROM motion_events WHERE camera_id = 'cmd-1'")


def test_passwords_are_not_printed(stack: Settings) -> None:
    uri = "rtsp://admin:hunter2@127.0.0.1:9/door"
    added = run_sightline(stack.home, "camera", "add", "cmd-secret", uri)
    listed = run_sightline(stack.home, "camera", "list", "--json")
    tried = run_sightline(stack.home, "camera", "test", "cmd-secret", check=False)
    run(stack, "camera", "remove", "cmd-secret")
    for result in (added, listed, tried):
        assert "hunter2" not in result.stdout + result.stderr
    assert tried.returncode == 1
    assert tried.stderr == (
        "sightline: camera cmd-secret: rtsp://***@127.0.0.1:9/door: connection refused\n"
    )


def test_walking_times_are_kept_and_published(stack: Settings) -> None:
    with connect(stack) as connection:
        for name in ("walk-B", "walk-a"):
            camera = NewCamera(camera_id=name, uri=SecretStr("rtsp://127.0.0.1:9/x"), fleet="walk")
            cameras.add(connection, camera)
    run(stack, "camera", "walk", "walk-a", "walk-B", "12.5")
    with connect(stack) as connection, connection.cursor() as cursor:
        walking_times.set_time(cursor, "walk-B", "walk-a", 20)
    (row,) = sightline_json(stack, "camera", "walk")
    assert {row["camera_a"], row["camera_b"]} == {"walk-a", "walk-B"}
    assert row["seconds"] == 20
    run(stack, "camera", "walk", "walk-a", "walk-B", "--remove")
    refused = run_sightline(stack.home, "camera", "walk", "walk-a", "walk-B", check=False)
    assert refused.stderr == "sightline: two cameras and the seconds between them, or --remove\n"
    facts = [one for one in read_topic(stack, FACTS.name) if one.key == b"walking|walk-B|walk-a"]
    times = [
        decode(pb.Fact, one.value).walking_time.seconds if one.value else None for one in facts
    ]
    assert times == [12.5, 20, None]
    with connect(stack) as connection, connection.cursor() as cursor:
        for other, seconds, error in (
            ("nowhere", 5.0, NotFoundError), ("walk-a", 5.0, SightlineError),
            ("walk-B", 0.0, SightlineError), ("walk-B", math.nan, SightlineError),
        ):  # fmt: skip
            with pytest.raises(error):
                walking_times.set_time(cursor, "walk-a", other, seconds)
        with pytest.raises(NotFoundError):
            walking_times.remove(cursor, "walk-a", "walk-B")
        for name in ("walk-B", "walk-a"):
            cameras.remove(connection, name)
