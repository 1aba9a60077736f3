"""The service of the cameras dies anywhere: its films' records and every account are right."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producers import frame_accounting
from producers.frame_accounting import FrameAccount
from schemas import sightline_pb2 as pb
from sightline.runtime.fault_injection import FaultPoint
from sightline.runtime.settings import Settings
from sightline.storage.cameras import Camera
from tests.http_camera import camera_server
from tests.stack.camera_support import (
    add_camera,
    broker_process,
    check_events,
    frames_of,
    make_film,
    motion_of,
    remove_camera,
    serving,
    status,
)
from tests.support import Running, environment, eventually, program, sightline_command

pytestmark = pytest.mark.stack

START = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)

PLACES = (
    FaultPoint.BEFORE_STATE,
    FaultPoint.BEFORE_PRODUCE,
    FaultPoint.BEFORE_COMMIT,
    FaultPoint.AFTER_COMMIT,
    FaultPoint.IN_RECOVERY,
)


@contextmanager
def living(stack: Settings, faults: Path) -> Iterator[Running]:
    """The service in a process of its own, killed at the end."""
    env = environment(stack.home, SIGHTLINE_FAULT_INJECTION=str(faults))
    with program(sightline_command("run", "cameras"), env=env) as process:
        yield process


def wait_for_frames(stack: Settings, camera: Camera, number: int) -> None:
    eventually(lambda: len(frames_of(stack, camera)) >= number, what=f"{number} frames")


def account(stack: Settings, camera: Camera) -> FrameAccount:
    """The account of a camera, which has to balance."""
    found = frame_accounting.read_accounts(stack.home)[camera.camera_id]
    assert found.balances, found
    return found


def told(stack: Settings, camera: Camera) -> set[tuple[str, int, int, int, int]]:
    return {
        (one.event_id, one.kind, one.at_us, one.last_sequence, one.frames)
        for one in motion_of(stack, camera)
    }


def test_a_film_killed_anywhere_gives_the_records_of_an_undisturbed_one(
    stack: Settings, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "a.avi", frames=60, fps=20)
    camera = add_camera(
        stack, "kills-film", str(film), "kills-one", start_time=START, fps=16, width=160
    )
    for place in PLACES:
        before = len(frames_of(stack, camera))
        with living(stack, tmp_path) as process:
            if place is not FaultPoint.IN_RECOVERY:  # which comes first
                wait_for_frames(stack, camera, before + 3)
            (tmp_path / f"cameras.{place}").touch()
            assert process.wait(120) == -signal.SIGKILL
        found = account(stack, camera)
        kafka = len(frames_of(stack, camera))
        assert found.delivered <= kafka <= found.delivered + found.waiting
    with living(stack, tmp_path):
        eventually(lambda: status(stack, camera.camera_id) == "ended")
    assert (account(stack, camera).captured, account(stack, camera).waiting) == (60, 0)
    disturbed = told(stack, camera)

    again = add_camera(
        stack, "kills-film", str(film), "kills-two", start_time=START, fps=16, width=160,
        pace="fast",
    )  # fmt: skip
    with serving(stack):
        eventually(lambda: status(stack, camera.camera_id) == "ended")
    remove_camera(stack, "kills-film")
    one, two = (
        [(record.value, record.timestamp_ms, record.partition) for record in frames_of(stack, of)]
        for of in (camera, again)
    )
    assert one == two
    assert len(one) == account(stack, camera).delivered / 2
    assert told(stack, camera) == disturbed
    assert account(stack, camera).dropped == {"rate_cap": 2 * (60 - len(one))}


def test_a_live_camera_loses_nothing_while_the_broker_is_away(
    stack: Settings, tmp_path: Path
) -> None:
    quick = stack.model_copy(update={"shutdown_seconds": 1.0})
    with camera_server() as uri:
        camera = add_camera(stack, "kills-live", f"{uri}/video", "kills-live", motion=False, fps=10)
        with living(stack, tmp_path) as process:
            wait_for_frames(stack, camera, 5)
            process.kill()
        account(stack, camera)

        broker = broker_process(stack)
        broker.suspend()
        try:
            with serving(quick):
                eventually(lambda: account(stack, camera).waiting >= 5)
            waiting = account(stack, camera).waiting
            assert waiting >= 5
        finally:
            broker.resume()
        before = len(frames_of(stack, camera))
        with serving(stack):
            wait_for_frames(stack, camera, before + waiting + 5)
    remove_camera(stack, "kills-live")
    # A life that nobody has ended, one that has, one that was told to stop.
    found = check_events(stack, camera)
    assert len({frame.motion_event_id for frame in found}) == 3
    assert all(frame.live for frame in found)
    in_the_end = account(stack, camera)
    assert in_the_end.delivered == len(found)
    assert in_the_end.waiting == 0
    assert set(in_the_end.dropped) <= {"rate_cap", "overrun"}
    starts = [one for one in motion_of(stack, camera) if one.kind == pb.MotionEvent.STARTED]
    assert len(starts) == 3
