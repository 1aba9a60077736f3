"""A live camera whose machine's clock is set back by an hour: nothing is lost of the hour."""

import pytest

from sightline.runtime.clock import US_PER_SECOND, SystemClock
from sightline.runtime.settings import Settings
from tests.http_camera import camera_server
from tests.stack.camera_support import (
    add_camera,
    check_events,
    delivered,
    dropped,
    remove_camera,
    serving,
)
from tests.support import eventually

pytestmark = pytest.mark.stack

HOUR_US = 3600 * US_PER_SECOND


class SetClock(SystemClock):
    """The machine's clock, and how far somebody has set it off."""

    offset_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.offset_us


def test_a_clock_that_is_set_back_ends_the_event_and_begins_another(stack: Settings) -> None:
    clock = SetClock()
    with camera_server() as address:
        camera = add_camera(stack, "set-back", f"{address}/video", "set-back", fps=5, motion=False)
        try:
            with serving(stack, clock):
                eventually(lambda: delivered("set-back") >= 5)
                clock.offset_us = -HOUR_US
                seen = delivered("set-back")
                eventually(lambda: delivered("set-back") >= seen + 10)
        finally:
            remove_camera(stack, "set-back")
    found = check_events(stack, camera)
    events = list(dict.fromkeys(frame.motion_event_id for frame in found))
    assert len(events) == 2
    first, second = ([f for f in found if f.motion_event_id == event] for event in events)
    assert second[0].captured_at_us < first[0].captured_at_us - HOUR_US // 2
    assert [frame.sequence for frame in found] == sorted({frame.sequence for frame in found})
    assert set(dropped("set-back")) <= {"rate_cap", "overrun"}
