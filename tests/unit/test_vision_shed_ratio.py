"""The share of a camera's frames that vision skips, and the lines that tell of it."""

import logging

import pytest
from prometheus_client import REGISTRY

from ops.local_stack.camera_overload import overload_fields
from processors.vision.shed_ratio import ShedRatio
from sightline.runtime.clock import SystemClock
from tests.unit.test_vision_load_shedding import live_film, worker

NAME = "sightline_vision_skipped_ratio"
FPS = 10


class Time(SystemClock):
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Filmed:
    """A camera that gives 10 frames a second, of which vision skips some."""

    def __init__(self, camera_id: str) -> None:
        self.camera_id = camera_id
        self.time = Time()
        self.skipped = ShedRatio(camera_id, self.time)

    def goes_on(self, seconds: float, *, skipped_of_ten: float = 0) -> None:
        for number in range(round(seconds * FPS)):
            self.skipped.count(skipped=number % 20 < 2 * skipped_of_ten)
            self.time.now += 1 / FPS


def shown(camera_id: str) -> float | None:
    return REGISTRY.get_sample_value(NAME, {"camera": camera_id})


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(line.levelname, line.getMessage()) for line in caplog.records]


def test_the_share_is_that_of_the_last_minute_and_falls_when_no_frame_comes() -> None:
    filmed = Filmed("share")
    assert shown("share") == 0
    filmed.goes_on(30)
    filmed.goes_on(30, skipped_of_ten=7)
    assert filmed.skipped.ratio() == pytest.approx(0.35, abs=0.03)
    filmed.goes_on(60, skipped_of_ten=7)
    assert shown("share") == pytest.approx(0.7, abs=0.02)
    filmed.time.now += 60
    assert shown("share") == 0
    filmed.skipped.close()
    assert shown("share") is None


def test_one_warning_names_the_camera_and_what_helps_and_one_line_ends_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    filmed = Filmed("door")
    with caplog.at_level(logging.INFO, "processors.vision.shed_ratio"):
        filmed.goes_on(600, skipped_of_ten=7)
        [(level, line)] = lines(caplog)
        assert level == "WARNING"
        assert "camera door: 70% of the frames" in line
        for help_ in ("--fps", "--width", "vision workers", "docs/runbook/frames-skipped.md"):
            assert help_ in line
        assert caplog.records[0].__dict__["camera"] == "door"
        caplog.clear()
        filmed.goes_on(54)
        assert lines(caplog) == []
        filmed.goes_on(600)
    [(level, line)] = lines(caplog)
    assert level == "INFO"
    assert "camera door" in line and "keeps up again" in line


def test_it_is_told_within_a_quarter_of_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    filmed = Filmed("soon")
    filmed.goes_on(15, skipped_of_ten=5)
    assert [level for level, _ in lines(caplog)] == ["WARNING"]


def test_a_worker_that_takes_over_what_has_waited_and_a_few_frames_are_no_overload(
    caplog: pytest.LogCaptureFixture,
) -> None:
    filmed = Filmed("start")
    for _ in range(500):
        filmed.skipped.count(skipped=True)
    filmed.goes_on(300)
    few = Filmed("few")
    few.goes_on(300, skipped_of_ten=0.5)
    assert not [level for level, _ in lines(caplog) if level == "WARNING"]


def test_a_camera_that_is_overloaded_again_and_again_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    filmed = Filmed("flaps")
    for _ in range(30):
        filmed.goes_on(10, skipped_of_ten=8)
        filmed.goes_on(10)
    assert len(caplog.records) == 1
    caplog.clear()
    for _ in range(5):
        filmed.goes_on(60, skipped_of_ten=8)
        filmed.goes_on(60)
    assert len([level for level, _ in lines(caplog) if level == "WARNING"]) <= 5


def test_a_camera_that_is_given_away_is_told_of_by_its_next_worker_alone() -> None:
    processor = worker()
    records = live_film("moved", waited_seconds=3.0)
    for record in records:
        list(processor.process(record))
    assert shown("moved") == pytest.approx(9 / 20)
    processor.forget([(records[0].topic, 0)])
    assert shown("moved") is None


def test_a_row_says_so_from_a_tenth_on() -> None:
    assert overload_fields(None, 0.69) == {
        "detail": "overloaded: 69% of frames skipped", "skipped_ratio": 0.69,
    }  # fmt: skip
    assert overload_fields("slow", 0.5)["detail"] == "slow; overloaded: 50% of frames skipped"
    assert overload_fields(None, 0.1) == {"detail": None, "skipped_ratio": 0.1}
    assert overload_fields("slow", None) == {"detail": "slow", "skipped_ratio": None}
