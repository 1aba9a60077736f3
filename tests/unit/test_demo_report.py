"""What `sightline demo` takes and prints."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from ops.demo.report import as_json, percentile
from ops.demo.results import AccessLogOutput, NearestEmployee, PipelineOutput
from ops.demo.run import _camera_name, validated_request
from ops.demo.truth import DecidedIdentity, FilmPerson, GroundTruth, TrackBoxes, compare
from sightline.runtime.errors import SightlineError

COUNTS = {
    "cameras", "frames", "tracks", "expected_named", "named_right", "named_wrong",
    "expected_unknown", "unknown_found", "same_id_across_cameras", "access_logs", "visitor_logs",
    "snapshots", "latency_ms_p50", "latency_ms_p95", "names",
}  # fmt: skip
OF_TRUTH = {
    "expected_named", "named_right", "named_wrong", "expected_unknown", "unknown_found",
    "same_id_across_cameras",
}  # fmt: skip


def row(name: str, latency: float, number: int = 1) -> AccessLogOutput:
    return AccessLogOutput(
        "door", f"t{number}", number, DecidedIdentity(name, number), "", 1.7e9, latency, None
    )


def found(*rows: AccessLogOutput) -> PipelineOutput:
    return PipelineOutput(50, (TrackBoxes("t1", "door", {}),), rows, visitor_logs=2, snapshots=1)


def test_without_a_truth_its_counts_are_null() -> None:
    given = found(row("Zoe", 0.5), row("Ana", 0.1), row("Ana", 0.3), row("", 0.2, 9))
    summary = as_json(given, ["door"], None)
    assert summary.keys() >= COUNTS
    assert all(summary[name] is None for name in OF_TRUTH)
    assert summary["names"] == ["Ana", "Zoe"]
    assert (summary["access_logs"], summary["unknown_ids"]) == (4, 1)


def test_who_came_nearest_is_told_with_score_and_threshold() -> None:
    near = NearestEmployee("door", 3, "Ana", 0.41239, 0.52, "", "2 shots, not near enough")
    safe = replace(near, candidate="Ben", threshold=math.inf, decided_name="Ben")
    summary = as_json(replace(found(), nearest=(near, safe)), ["door"], None)
    first, second = summary["nearest"]
    assert first["candidate"] == "Ana" and first["decided_name"] == ""
    assert (first["score"], first["threshold"]) == (0.4124, 0.52)
    assert (second["decided_name"], second["threshold"]) == ("Ben", None)


def test_with_a_truth_they_are_numbers() -> None:
    verdict = compare(GroundTruth((FilmPerson("Ana", enrolled=True),), ()), ())
    summary = as_json(found(), ["door"], verdict)
    assert all(isinstance(summary[name], int) for name in OF_TRUTH)
    assert summary["latency_ms_p50"] is None


def test_latency_is_in_milliseconds() -> None:
    summary = as_json(found(*(row("Ana", second / 100) for second in range(101))), ["door"], None)
    assert (summary["latency_ms_p50"], summary["latency_ms_p95"]) == (500.0, 950.0)


def test_percentile_of_few() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([1.0, 2.0], 0.95) == 2.0


def test_a_film_names_its_camera() -> None:
    taken = {"back-door": Path("a")}
    assert _camera_name(Path("x/Back door!.mp4"), {}) == "Back-door-"
    assert _camera_name(Path("back-door.mp4"), taken) == "back-door-2"
    assert _camera_name(Path("日本.mp4"), {}) == "camera"


@pytest.mark.parametrize("given", ["Ana", "=a.jpg", "Ana=", " =a.jpg"])
def test_a_photo_without_a_name_is_one_line(given: str) -> None:
    with pytest.raises(SightlineError, match="give NAME=PHOTO"):
        validated_request([], [given], None, None)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(SightlineError, match="no film"):
        validated_request([gone], [], None, None)
    with pytest.raises(SightlineError, match="no photo"):
        validated_request([], [f"Ana={gone}"], None, None)
    with pytest.raises(SightlineError, match="no folder"):
        validated_request([], [], gone, None)


def test_a_home_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(SightlineError, match="not empty"):
        validated_request([], [], None, tmp_path)
    assert validated_request([], [], None, tmp_path / "new").home == tmp_path / "new"
