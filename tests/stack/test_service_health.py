"""Services as processes: their health turns bad when a loop stands still, or the broker is away."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sightline.runtime.service_discovery import Target, targets
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from tests.stack.camera_support import broker_process
from tests.stack.commands_support import run, sightline_json
from tests.support import environment, eventually, program, run_sightline, sightline_command

pytestmark = pytest.mark.stack


@contextmanager
def outbox(stack: Settings, log: Path) -> Iterator[Target]:
    """The service `outbox`, which asks for its table twice a second."""
    settings = {
        "SIGHTLINE_INSTANCE": "health-1",
        "SIGHTLINE_LOG_FORMAT": "json",
        "SIGHTLINE_HEALTH__STUCK_SECONDS": "3",
        "SIGHTLINE_HEALTH__HEARTBEAT_SECONDS": "1",
    }
    env = environment(stack.home, **settings)
    with program(sightline_command("run", "outbox"), log, env=env) as process:
        try:
            [target] = eventually(
                lambda: [one for one in targets(stack.home) if one.instance == "health-1"]
            )
            eventually(lambda: status(target, "/readyz") == 200)
            yield target
        finally:
            process.terminate()
            process.wait(120)
    assert process.returncode == 0
    assert all(one.instance != "health-1" for one in targets(stack.home))


def status(target: Target, path: str) -> int:
    return httpx2.get(f"http://{target.address}{path}", timeout=5).status_code


def said(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_health_tells_a_loop_that_stands_still_from_a_broker_that_is_away(
    stack: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "outbox.log"
    with outbox(stack, log) as target:
        assert status(target, "/healthz") == 200
        run(stack, "log-level", "outbox", "debug")
        # Its loop waits for a lock that somebody holds for too long.
        with connect(stack) as db:
            db.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
            eventually(lambda: status(target, "/healthz") == 503)
            failed = run_sightline(stack.home, "health", "--json", check=False)
            [row] = [one for one in json.loads(failed.stdout) if one["instance"] == "health-1"]
            assert failed.returncode == 1
            assert (row["service"], row["state"], row["of"]) == ("outbox", "stuck", "main")
            assert row["age"] > 3
        eventually(lambda: status(target, "/healthz") == 200)
        broker = broker_process(stack)
        broker.suspend()
        try:
            eventually(lambda: status(target, "/readyz") == 503)
            assert status(target, "/healthz") == 200
        finally:
            broker.resume()
        eventually(lambda: status(target, "/readyz") == 200)
        rows = sightline_json(stack, "health")
        assert [one["state"] for one in rows if one["instance"] == "health-1"] == ["ready"]
    lines = said(log)
    assert {(one["service"], one["instance"]) for one in lines} == {("outbox", "health-1")}
    assert any(
        one["logger"] == "sightline.runtime.heartbeat" and "counters" in one for one in lines
    )


def test_what_is_no_service_and_no_level_is_said(stack: Settings) -> None:
    for arguments, wrong in (
        (("log-level", "nobody", "INFO"), "no service nobody"),
        (("log-level", "all", "LOUD"), "no level LOUD"),
    ):
        result = run_sightline(stack.home, *arguments, check=False)
        assert result.returncode == 1
        assert wrong in result.stderr
        assert len(result.stderr.splitlines()) == 1
