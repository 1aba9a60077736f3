"""`sightline demo`, as a person runs it: everything real, from film to row."""

import base64
import json
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from benchmarks import stage_clip
from ops.demo.film import FPS, HEIGHT, WIDTH, write_film
from ops.local_stack.embedded import down
from sightline.models import dlib_pack
from sightline.models.packs import load_pack
from sightline.runtime.settings import Settings
from tests.explain_support import check
from tests.loaded import load_dlib_pack
from tests.monitoring_support import without_data
from tests.stack.commands_support import sightline_json
from tests.support import (
    FEW_TRANSACTIONS,
    ROOT,
    environment,
    eventually,
    run_sightline,
    sightline_command,
)

pytestmark = pytest.mark.e2e

_SECONDS = 560.0

_WATCHED = ("--monitoring",) if shutil.which("prometheus") else ()
_LOOP_EMBEDDINGS = 638
"""What `benchmarks.baseline` makes of the stage clip: one for every face on every frame."""

_JPEG = bytes.fromhex("ffd8ffe000104a464946")  # how those that OpenCV writes begin


def start(home: Path, *arguments: str, **extra: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        sightline_command("demo", "--home", str(home), *arguments),
        cwd=ROOT,
        # Its own home is the one given; the user's is this one, which it must leave alone.
        env=environment(home.parent / "user", **FEW_TRANSACTIONS, **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(home: Path) -> list[list[str]]:
    """Command lines of processes that work on a home."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        told = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if any(str(home) in part for part in told):
            found.append(told)
    return found


@pytest.fixture
def folder(home: Path) -> Iterator[Path]:
    """Where the demo's home may be; nothing of it may live on when the test is done."""
    yield home / "demo"
    assert processes_of(home) == []


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    """A film of a wall, for tests that end before a film is played."""
    film = tmp_path / "wall.mp4"
    write_film(film, [np.full((HEIGHT, WIDTH, 3), 128, np.uint8)] * FPS)
    return film


def run(folder: Path, *arguments: str, **extra: str) -> tuple[int, str, str]:
    process = start(folder, *arguments, **extra)
    try:
        out, err = process.communicate(timeout=_SECONDS)
    finally:
        process.terminate()  # which stops all that it has started
    return process.returncode, out, err


def run_forked(folder: Path, *arguments: str, **extra: str) -> tuple[int, str, str]:
    """The same in a process that has loaded the code already, which takes seconds of a core."""
    result = run_sightline(
        folder.parent / "user", "demo", "--home", str(folder), *arguments,
        check=False, seconds=_SECONDS, env=FEW_TRANSACTIONS | extra,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr


def only_line(out: str) -> dict[str, Any]:
    assert out.count("\n") == 1, out
    told: dict[str, Any] = json.loads(out)
    return told


def everybody_is_found(told: dict[str, Any]) -> None:
    """Checks what the demo says of its own films."""
    assert told["names"] == ["Ana Lima", "Ben Archer", "Carl Weber", "Ella Quist"]
    assert (told["expected_named"], told["named_right"], told["named_wrong"]) == (4, 4, 0)
    assert (told["expected_unknown"], told["unknown_found"]) == (2, 2)
    assert told["same_id_across_cameras"] == told["unknown_ids"] == 2
    assert told["cameras"] == 2
    assert told["frames"] > 500
    assert told["tracks"] >= 12
    assert told["access_logs"] >= 12
    assert told["visitor_logs"] >= 12
    assert told["snapshots"] >= 10
    assert 0 < told["latency_ms_p50"] <= told["latency_ms_p95"]
    sheet = cv2.imread(told["contact_sheet"])
    assert sheet is not None
    assert sheet.shape[1] > 1000


def test_everybody_is_found_where_services_prove_themselves_and_all_is_sealed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models of the registry; what is kept is encrypted and leads to the right faces still.

    Other tests have services and tables plain, as `sightline demo` has by itself.
    """
    keys = {"SIGHTLINE_ENCRYPTION__KEYS": base64.b64encode(secrets.token_bytes(32)).decode()}
    status, out, err = run_forked(
        folder, "--secure", "--json", *_WATCHED, SIGHTLINE_PACK="dlib", **keys
    )
    assert status == 0, (out, err)
    everybody_is_found(only_line(out))
    assert not (folder.parent / "user").exists()
    log = (folder / "services.log").read_text()
    assert not re.findall(r".*(?:permission denied|[Aa]uthorization|not authorized).*", log)
    assert "access-log: started" in log
    for place in ("objects", "postgres"):
        files = [path for path in (folder / place).rglob("*") if path.is_file()]
        assert files
        assert [path for path in files if _JPEG in path.read_bytes()] == []
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dlib_pack, "load_dlib_pack", load_dlib_pack)
    rows_lead_to_the_right_face(folder, keys)


def rows_lead_to_the_right_face(home: Path, keys: dict[str, str]) -> None:
    """`sightline explain` on a row of everybody; a detector finds that face in its frame."""
    settings = Settings(home=home, pack="dlib")
    run_sightline(home, "up", env=keys)
    try:
        if _WATCHED:  # what Prometheus has kept of the demo
            assert list(without_data(home, seconds=900)) == []
        rows = check(settings, load_pack(settings), home)
        picture = home / "frame.jpg"
        explain = ("explain", rows[0]["row"], "--output", str(picture))
        told = sightline_json(settings, *explain)
    finally:
        down(settings)
    frame = cv2.imread(str(picture))
    assert frame is not None and frame.shape[:2] == (480, 854)
    assert told["picture"] == str(picture)
    assert told["frame"]["topic"] == "frames.default"
    assert {"topic", "partition", "offset"} <= set(told["observations"][0]["frame"])
    assert {one["model"]: one["sha256"][:8] for one in told["models"]}["embedder"] == "55533b28"
    assert told["sighting"]["score"] >= told["sighting"]["threshold"] > 0
    assert told["decisions"][-1]["status"] == "ended"
    assert told["calibration"]["calibration_id"] == "builtin-dlib"
    assert len(rows) == 6
    assert [row for row in rows if not (row["opened"] and row["right"])] == []


def test_one_of_four_enrolled_people_is_named_and_another_is_a_candidate(
    folder: Path, shared: Path
) -> None:
    photos = shared / "media" / "photos"
    status, out, err = run(
        folder,
        "--json",
        "--models", str(shared / "models"),
        "--video", str(shared / "media" / "stage_clip.mp4"),
        "--enrol", f"Lin-Manuel Miranda={photos / 'lin-manuel-miranda.png'}",
        "--enrol", f"Alex Lacamoire={photos / 'alex-lacamoire.png'}",
        "--enrol", f"Joe Biden={photos / 'biden.jpg'}",
        "--enrol", f"Barack Obama={photos / 'obama.jpg'}",
    )  # fmt: skip
    assert status == 0, (out, err)
    told = only_line(out)
    assert set(told["names"]) - {"Barack Obama"} == {"Lin-Manuel Miranda"}
    named = [one for one in told["nearest"] if one["decided_name"] == "Lin-Manuel Miranda"]
    assert len(named) == 2, "the glimpse of him at the beginning is named by what comes later"
    assert all(one["candidate"] == "Lin-Manuel Miranda" for one in named)
    assert max(one["score"] for one in named) >= min(one["threshold"] for one in named)
    # Half turned away: named only where the wanted rate allows it.
    turned = [one for one in told["nearest"] if one["candidate"] == "Barack Obama"]
    best = max(turned, key=lambda one: one["score"])
    assert best["score"] > 0.3 and best["threshold"] > 0
    assert bool(best["decided_name"]) == (best["score"] >= best["threshold"])
    assert told["expected_named"] is None
    assert told["named_wrong"] is None
    assert told["cameras"] == 1
    assert told["access_logs"] >= 1
    names_are_those_of_the_truth_and_nobody_elses(folder)


def names_are_those_of_the_truth_and_nobody_elses(home: Path) -> None:
    """Checks what the demo has made of a real film against a truth made by hand."""
    settings = Settings(home=home)
    run_sightline(home, "up")
    try:
        told = stage_clip.numbers_of(stage_clip.read_result(settings))
    finally:
        down(settings)
    assert told["stage_clip_faces"] == 650
    assert told["stage_clip_agreement"] >= 0.95
    assert told["stage_clip_frames_agreement"] >= 0.95
    assert told["stage_clip_embeddings"] <= 0.08 * _LOOP_EMBEDDINGS
    assert set(told["stage_clip_names"]) - {"Barack Obama"} == {"Lin-Manuel Miranda"}

    # Half turned away: who he most likely is, and named only where that is safe.
    assert told["stage_clip_candidate"] == "Barack Obama"
    score, threshold = told["stage_clip_candidate_score"], told["stage_clip_candidate_threshold"]
    assert 0.3 < score < 0.6 and threshold > 0
    assert bool(told["stage_clip_candidate_named"]) == (score >= threshold)


def test_ctrl_c_leaves_no_process_behind(folder: Path, wall: Path) -> None:
    process = start(folder, "--video", str(wall), SIGHTLINE_PACK="dlib")
    try:
        eventually((folder / "services.log").exists, what="the services start")
        eventually(lambda: len(processes_of(folder)) > 2, what="broker and database run")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode != 0
    assert processes_of(folder) == []


def test_a_photo_without_a_face_is_one_line_before_anything_starts(
    folder: Path, tmp_path: Path, wall: Path
) -> None:
    photo = tmp_path / "wall.png"
    cv2.imwrite(str(photo), np.full((300, 300, 3), 128, np.uint8))
    film = ("--video", str(wall))
    status, out, err = run_forked(folder, *film, "--enrol", f"Ana={photo}", SIGHTLINE_PACK="dlib")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"sightline: {photo}: no face found; give a photo of the face, seen from the front"
    )
    assert not (folder / "stack.json").exists()


def test_a_film_that_is_none_is_one_line(folder: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"no film" * 100)
    status, out, err = run_forked(folder, "--video", str(film))
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == f"sightline: --video: {film} is not a film that can be read"
