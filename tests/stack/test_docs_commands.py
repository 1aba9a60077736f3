"""Every command in the documentation is run: here, or by the test that is named beside it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import sightline_pb2 as pb
from schemas.topics import DEAD_LETTERS, frames
from sightline.runtime.clock import SystemClock
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.streaming.admin import ensure_fleet_topic
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from tests.api_support import photo_of
from tests.docs_support import PAGES, commands
from tests.stack.camera_support import make_film
from tests.stack.commands_support import command
from tests.stack.people_support import nobody_of
from tests.support import ROOT, environment

pytestmark = [pytest.mark.stack, pytest.mark.models]

RUN_BY = {
    "e2e/test_demo.py": {
        "test_everybody_is_found_where_services_prove_themselves_and_all_is_sealed": ["make demo"],
    },
    "e2e/test_corrections.py": {
        "test_corrections_are_in_all_logs_at_once_and_in_all_that_comes": [
            "sightline persons reject 6f1c7a52-58a1-5d0e-9d0c-2d3a3f0c9b11"
        ],
    },
    "stack/test_up_down.py": {
        "test_up_again_changes_nothing": ["sightline up"],
    },
    "stack/test_vision_takeover.py": {
        "test_a_killed_worker_is_replaced_and_every_frame_is_there_once": ["sightline run vision"],
    },
    "stack/test_monitoring.py": {
        "test_monitoring_is_on_loopback_stays_with_its_home_and_goes": [
            "sightline up --monitoring"
        ],
    },
    "stack/test_secure_stack.py": {
        "test_what_was_there_before_still_is_and_it_stays_secure": [
            "sightline up --secure",
            'rm "$SIGHTLINE_HOME/secure/match/kafka-password"',
        ],
        "test_all_services_run_come_back_and_go_down_with_the_stack": [
            "sightline run all",
            "sightline run all --vision-workers 1",
            "sightline run all --vision-workers 4",
            "sightline down",
        ],
    },
    "stack/test_whole_backup.py": {
        "test_everything_comes_back_elsewhere": [
            "sightline backup /backups/today",
            "sightline restore /backups/today",
        ],
    },
    "stack/test_people_backup.py": {
        "test_everybody_comes_back_with_every_number": [
            "sightline employees restore people.zip --replace"
        ],
    },
    "stack/test_enrol_list.py": {
        "test_each_row_is_taken_or_refused_and_none_stops_the_others": [
            "sightline enrol --csv people.csv --photos photos/"
        ],
    },
    "stack/test_sealed.py": {
        "test_commands_make_keys_and_rotate": ["sightline encryption rotate"],
    },
    "stack/test_service_health.py": {
        "test_health_tells_a_loop_that_stands_still_from_a_broker_that_is_away": [
            "sightline log-level vision debug",
            "sightline log-level all info",
        ],
    },
    "stack/test_explain.py": {
        "test_every_id_of_a_row_leads_to_its_frame": [
            "sightline explain 6f1c7a52-58a1-5d0e-9d0c-2d3a3f0c9b11 --output frame.jpg"
        ],
    },
    "stack/test_replay.py": {
        "test_a_window_seen_again_gives_the_rows_of_live_though_its_coordinator_is_killed": [
            "sightline replay --from 2026-05-04T08:00 --to 2026-05-04T09:00 --run again"
        ],
    },
    "stack/test_runs.py": {
        "test_a_run_that_says_the_same_has_an_empty_diff": ["sightline runs diff live again"],
        "test_a_promoted_run_is_what_people_query_until_it_is_taken_back": [
            "sightline runs promote again"
        ],
        "test_a_deleted_run_leaves_nothing_behind": ["sightline runs delete again"],
    },
    "stack/test_calibrate.py": {
        "test_the_command_keeps_and_publishes_what_it_measures": [
            "sightline calibrate measure portraits/",
            "sightline calibrate measure portraits/ --report det.png",
        ],
        "test_the_command_takes_enrolled_people_for_strangers_too": [
            "sightline calibrate measure portraits/ --impostors both"
        ],
    },
    "models/test_calibrate_portraits.py": {
        "test_the_command_reports_without_a_database": [
            "sightline calibrate measure portraits/ --dry-run"
        ],
    },
}
"""What takes long, or is not for a stack that is shared: the test that does it."""

_ELSEWHERE = {line for tests in RUN_BY.values() for lines in tests.values() for line in lines}

NOT_HERE = {
    r"docker compose ": "no containers here; tests/e2e/test_compose_natively.py runs its services",
    r"kubectl ": "no cluster here",
    r"helm install ": "no cluster here; tests/unit/test_helm_chart.py renders the chart",
    r"pip install 'sightline\[tracing\]'$": "a package registry; the tests' lock has the extra",
    r"python3 -m venv \.venv-gpu$": "a GPU",
    r"\.venv-gpu/bin/pip ": "a GPU",
    r"SIGHTLINE_PROVIDER=cuda ": "a GPU",
    r"sightline models fetch$": "gigabytes; tests/models/test_broken_models.py tries without a way",
}

WHOLE = "docs/api.md"
"""Run from top to bottom by tests/stack/test_api_service.py."""

PASSWORD = "a long password"

SIGHTLINE = "sightline "

_WENT_WELL: set[str] = set()
"""Commands that another page has too: to those whom `world` has made they do the same there."""


def is_run_elsewhere(line: str) -> bool:
    return line in _ELSEWHERE or any(re.match(pattern, line) for pattern in NOT_HERE)


@pytest.fixture(scope="module")
def place(stack: Settings) -> Iterator[Path]:
    """Where the commands are typed: with the files that they name."""
    folder = Path(tempfile.mkdtemp(prefix="sightline-docs-"))
    for name, member in {"ada-1.jpg": 0, "ada-2.jpg": 0, "photo.jpg": 0}.items():
        (folder / name).write_bytes(photo_of(member))
    make_film(folder / "film.avi", 20)
    ensure_fleet_topic(stack, "docs")
    with pytest.MonkeyPatch.context() as patch, nobody_of(stack, "dlib"):
        patch.chdir(folder)
        yield folder
    well(stack, "topics apply")
    with connect(stack) as db:
        db.execute("DELETE FROM cameras WHERE camera_id = 'lobby'")
        db.execute("DELETE FROM api_keys WHERE name IN ('door panel', 'docs')")
        db.execute("DELETE FROM users WHERE name = 'ada'")
    shutil.rmtree(folder)


@pytest.fixture
def world(stack: Settings, place: Path) -> None:
    """Those whom the pages speak of are there, and topics as they should be."""
    well(stack, "topics apply")  # other tests leave fleets without, and a page has its own settings
    with connect(stack) as db:
        known = db.execute("SELECT FROM employees WHERE name = 'Ada Lovelace'").fetchone()
        user = db.execute("SELECT FROM users WHERE name = 'ada'").fetchone()
    if known is None:
        well(stack, 'enrol "Ada Lovelace" ada-1.jpg')
    if user is not None:
        well(stack, "users remove ada")
    well(stack, f"camera add lobby {place / 'film.avi'}")


def well(stack: Settings, line: str, **extra: str) -> str:
    """What `sightline LINE` prints, which has to succeed."""
    more = {"SIGHTLINE_PACK": "dlib"} | extra
    done = command(stack, *shlex.split(line), given=f"{PASSWORD}\n", **more)
    assert done.exit_code == 0, (line, done.output, done.exception)
    return done.stdout


def in_a_shell(stack: Settings, line: str, **extra: str) -> dict[str, str]:
    """Run a line as it stands; what it exports."""
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = environment(stack.home, **{"PATH": programs, "SIGHTLINE_PACK": "dlib"} | extra)
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", f"{line}\nenv -0 >environment"],
        env=env, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (line, done.stderr)
    if not line.startswith("export "):
        return {}
    pairs = (one.partition("=") for one in Path("environment").read_text().split("\0") if one)
    return {name: value for name, _, value in pairs if env.get(name) != value}


def stood_in(stack: Settings, line: str) -> str:
    """The line about things that are here."""
    if "0@17" in line:
        line = line.replace("0@17", letter(stack))
    if "0123456789ab" in line:
        made = well(stack, "keys create docs --role guard --json")
        line = line.replace("0123456789ab", json.loads(made)["key_id"])
    if line.startswith(("sightline erase verify", "sightline erase show")):
        with connect(stack) as db:
            found = db.execute("SELECT erasure_id FROM erasures ORDER BY done_at DESC").fetchone()
        assert found is not None
        report = shlex.quote(str(stack.home / "erasures" / f"{found[0]}.json"))
        line = re.sub(r"\bID$", str(found[0]), line).replace("report.json", report)
    return re.sub(r"rtsp://\S+", "film.avi", line)


def letter(stack: Settings) -> str:
    """A dead letter of vision's about a frame that nobody reads."""
    source = pb.Position(topic=frames("docs").name, partition=0, offset=0)
    message = pb.DeadLetter(
        source=source, key=b"docs", value=b"no frame", service="vision", reason="bad_jpeg"
    )
    producer = CheckedProducer(producer_config(stack, "docs"))
    # Retention would delete one of long ago, maybe before it is listed.
    now_ms = SystemClock().now_us() // 1000
    producer.send_all(
        [OutputRecord(DEAD_LETTERS.name, source.topic, message.SerializeToString(), now_ms)]
    )
    producer.flush(60)
    listed = json.loads(well(stack, "dlq list --service vision --reason bad_jpeg --json"))
    return str(next(one["id"] for one in listed if one["key"] == "docs"))


@pytest.mark.parametrize("page", [one for one in PAGES if commands(one) and one != WHOLE])
def test_the_commands_of_a_page_do_what_they_should(
    page: str, stack: Settings, world: None
) -> None:
    exported: dict[str, str] = {}
    for shown in commands(page):
        if is_run_elsewhere(shown) or (shown in _WENT_WELL and not exported):
            continue
        line = stood_in(stack, shown)
        if line.startswith(SIGHTLINE) and not re.search(r"[|>$]", line):
            well(stack, line.removeprefix(SIGHTLINE), **exported)
            _WENT_WELL.add(shown)
        else:
            exported |= in_a_shell(stack, line, **exported)


def test_what_is_run_elsewhere_is_in_the_pages_and_in_the_tests() -> None:
    shown = {line for page in PAGES for line in commands(page)}
    assert not _ELSEWHERE - shown
    assert not [one for one in NOT_HERE if not any(re.match(one, line) for line in shown)]
    for file, tests in RUN_BY.items():
        text = (ROOT / "tests" / file).read_text()
        for test in tests:
            assert f"\ndef {test}(" in text, file
