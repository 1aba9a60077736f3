"""Films and folders into a real broker: the same records every time, nothing lost uncounted."""

import shutil
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from producers.settings import CaptureSettings
from schemas import ids
from schemas.topics import MIB
from sightline.runtime.clock import to_us
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.cameras import Camera
from sightline.storage.db import connect
from sightline.streaming.records import Record
from tests.stack.camera_support import (
    add_camera,
    broker_process,
    captured,
    check_events,
    delivered,
    dropped,
    frames_of,
    make_film,
    motion_of,
    remove_camera,
    serving,
    status,
)
from tests.stack.commands_support import run
from tests.support import environment, eventually, program, sightline_command

pytestmark = pytest.mark.stack

# Kafka forgets frames by their capture time, so it has to be a recent one.
START = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)


def play(stack: Settings, camera: Camera) -> None:
    with serving(stack):
        eventually(lambda: status(stack, camera.camera_id) == "ended", what="the film has ended")


def plain(record: Record) -> tuple[bytes | None, bytes | None, int, int]:
    return record.key, record.value, record.timestamp_ms, record.partition


def test_a_film_gives_the_same_records_in_a_fresh_topic(stack: Settings, tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.avi", frames=80)
    runs: list[list[tuple[bytes | None, bytes | None, int, int]]] = []
    for fleet in ("films-one", "films-two"):
        camera = add_camera(
            stack, "films-same", str(film), fleet, pace="fast", start_time=START, fps=8, width=160
        )
        play(stack, camera)
        if not runs:  # the second run says the same motion once more
            found = check_events(stack, camera)
        runs.append([plain(record) for record in frames_of(stack, camera)])
    said = motion_of(stack, camera)
    assert [one for one in said if said.count(one) != 2] == []
    remove_camera(stack, "films-same")
    assert runs[0] == runs[1]
    assert len(runs[0]) == 64
    assert {partition for *_, partition in runs[0]} == {camera.slot % 12}
    first = found[0]
    assert first.captured_at_us == to_us(START)
    assert first.motion_event_id == ids.motion_event_id("films-same", to_us(START))
    assert (first.width, first.height) == (160, 120)
    image = cv2.imdecode(np.frombuffer(first.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (120, 160, 3)
    assert captured("films-same") == 160
    assert dropped("films-same") == {"rate_cap": 32}


def test_a_real_film_opens_several_events(stack: Settings, shared: Path, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg here")
    whole, film = shared / "media" / "one-by-one-person-detection.mp4", tmp_path / "beginning.mp4"
    cut: list[str | Path] = ["ffmpeg", "-v", "error", "-i", whole, "-t", "50", "-c", "copy", film]
    subprocess.run(cut, check=True)
    camera = add_camera(
        stack, "films-real", str(film), "films-real",
        pace="fast", start_time=START, width=320, fps=5,
    )  # fmt: skip
    play(stack, camera)
    found = check_events(stack, camera)
    remove_camera(stack, "films-real")
    events = {frame.motion_event_id for frame in found}
    assert 3 <= len(events) <= 5  # two people stop at the table: each is one event
    assert captured("films-real") == 501
    assert delivered("films-real") == len(found)
    reasons = dropped("films-real")
    assert reasons.keys() == {"rate_cap", "no_motion", "still"}
    assert reasons["rate_cap"] == 250
    assert reasons["no_motion"] + reasons["still"] == 251 - len(found)


def test_a_folder_s_corrupt_image_is_counted(stack: Settings, tmp_path: Path) -> None:
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), number * 30, np.uint8))
    (tmp_path / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    camera = add_camera(
        stack, "films-folder", str(tmp_path), "films", pace="fast", start_time=START, motion=False
    )
    play(stack, camera)
    found = check_events(stack, camera)
    remove_camera(stack, "films-folder")
    assert [frame.sequence for frame in found] == [1, 2, 3, 5, 6]
    assert dropped("films-folder") == {"bad_image": 1}


def test_an_ended_film_stays_ended_until_it_is_restarted(stack: Settings, tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.avi", frames=5)
    camera = add_camera(stack, "films-end", str(film), "films", pace="fast", start_time=START)
    play(stack, camera)
    with serving(stack):
        # Another film that starts and ends meanwhile shows that the service has looked.
        other = add_camera(stack, "films-end-2", str(film), "films", pace="fast", start_time=START)
        eventually(lambda: status(stack, other.camera_id) == "ended")
        assert captured("films-end") == 5
        run(stack, "camera", "restart", "films-end")
        eventually(lambda: captured("films-end") == 10)
        eventually(lambda: status(stack, "films-end") == "ended")
    for name in ("films-end", "films-end-2"):
        remove_camera(stack, name)


def test_sigterm_ends_events_and_delivers_everything(stack: Settings, tmp_path: Path) -> None:
    film = make_film(tmp_path / "a.avi", frames=50)
    camera = add_camera(stack, "films-term", str(film), "films-term", loop=True, motion=False)
    path = tmp_path / "cameras.log"
    command = sightline_command("run", "cameras")
    with program(command, path, env=environment(stack.home)) as process:
        eventually(lambda: len(frames_of(stack, camera)) >= 5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    log = path.read_text()
    found = check_events(stack, camera)
    assert (
        f"films-term: {len(found)} captured, {len(found)} delivered, dropped {{}}, 0 waiting" in log
    )
    assert status(stack, "films-term") == "down"
    remove_camera(stack, "films-term")


def test_when_the_broker_hangs_live_frames_are_dropped_and_counted(
    stack: Settings, tmp_path: Path
) -> None:
    """A film that is played as if it were live: 1 MB frames, as fast as they come."""
    noise = np.random.default_rng(2)
    for number in range(3):
        image = noise.integers(0, 256, (900, 1200, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    camera = add_camera(
        stack, "films-hang", str(tmp_path), "films-hang",
        pace="fast", loop=True, motion=False, start_time=START,
    )  # fmt: skip
    broker = broker_process(stack)
    small = stack.model_copy(update={"capture": CaptureSettings(buffer_bytes=4 * MIB)})
    with pytest.MonkeyPatch.context() as patch, serving(small):
        patch.setattr("producers.file_source.FileSource.is_live", True)
        eventually(lambda: delivered("films-hang") > 3)
        broker.suspend()
        try:
            eventually(lambda: dropped("films-hang").get("broker", 0) > 3)
        finally:
            broker.resume()
    found = check_events(stack, camera)
    remove_camera(stack, "films-hang")
    assert set(dropped("films-hang")) == {"broker"}
    assert len(found) == delivered("films-hang")
    assert captured("films-hang") == delivered("films-hang") + dropped("films-hang")["broker"]


def test_a_broken_row_hides_no_other_camera(stack: Settings, tmp_path: Path) -> None:
    for name in ("row-good", "row-broken"):
        add_camera(stack, name, str(tmp_path), "films")
    with connect(stack) as connection:
        connection.execute(
            """UPDATE cameras SET settings = '{"fps": -1}' WHERE camera_id = 'row-broken'"""
        )
        found = {camera.camera_id for camera in cameras.list_cameras(connection)}
    for name in ("row-good", "row-broken"):
        remove_camera(stack, name)
    assert "row-good" in found
    assert "row-broken" not in found


def test_slots_are_the_lowest_free_also_at_the_same_time(stack: Settings, tmp_path: Path) -> None:
    names = [f"slot-{number}" for number in range(8)]
    barrier = threading.Barrier(len(names))

    def add(name: str) -> int:
        with connect(stack) as connection:
            new = cameras.NewCamera.model_validate(
                {"camera_id": name, "uri": str(tmp_path), "fleet": "slots"}
            )
            barrier.wait(10)
            return cameras.add(connection, new).slot

    with ThreadPoolExecutor(len(names)) as pool:
        slots = dict(zip(names, pool.map(add, names), strict=True))
    assert sorted(slots.values()) == list(range(8))
    free = slots["slot-3"]
    remove_camera(stack, "slot-3")
    with connect(stack) as connection:
        again = cameras.add(
            connection,
            cameras.NewCamera.model_validate(
                {"camera_id": "slot-new", "uri": str(tmp_path), "fleet": "slots"}
            ),
        )
        same = cameras.add(
            connection,
            cameras.NewCamera.model_validate(
                {"camera_id": "slot-5", "uri": str(tmp_path), "fleet": "slots"}
            ),
        )
    assert again.slot == free
    assert same.slot == slots["slot-5"]
    for name in {*names, "slot-new"} - {"slot-3"}:
        remove_camera(stack, name)
