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


def test_masks_are_added_shown_and_removed(stack: Settings, tmp_path: Path) -> None:
    film = make_film(tmp_path / "masks.avi", frames=20)
    portrait, street = "people+faces:0.1,0.1,0.3,0.1,0.3,0.4", "motion:0,0,1,0,1,0.25"
    run(stack, "camera", "add", "cmd-masks", str(film), "--mask", portrait)

    def masks() -> list[str]:
        return [row["mask"] for row in sightline_json(stack, "camera", "mask", "cmd-masks")]

    def generation() -> int:
        with connect(stack) as connection:
            return cameras.get(connection, "cmd-masks").settings.generation

    try:
        assert masks() == [portrait]
        before = generation()
        run(stack, "camera", "mask", "cmd-masks", "faces:0,0,0.5,0,0.5,0.5")
        assert generation() == before  # vision's masks do not change where a film's events are cut
        run(stack, "camera", "mask", "cmd-masks", street)
        assert generation() == before + 1
        assert masks() == [portrait, "faces:0,0,0.5,0,0.5,0.5", street]
        (row,) = [
            row for row in sightline_json(stack, "camera", "list") if row["name"] == "cmd-masks"
        ]
        assert row["masks"] == "1 people, 2 faces, 1 motion"
        assert row["settings"]["masks"][2]["points"] == [[0, 0], [1, 0], [1, 0.25]]
        run(stack, "camera", "mask", "cmd-masks", "--remove", street)
        assert masks() == [portrait, "faces:0,0,0.5,0,0.5,0.5"]
        refused = run_sightline(
            stack.home, "camera", "mask", "cmd-masks", "--remove", street, check=False
        )
        assert refused.returncode == 1
        assert f"has no mask {street}" in refused.stderr
        run(stack, "camera", "mask", "cmd-masks", "--remove")
        assert masks() == []
    finally:
        run(stack, "camera", "remove", "cmd-masks")


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
