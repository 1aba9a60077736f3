"""The supervisor on real processes: failed ones start again, and none is left behind."""

import itertools
import os
import signal
import socket
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client import REGISTRY

from ops.local_stack import supervisor
from ops.local_stack.supervisor import Child, Supervisor
from sightline.runtime.lifecycle import Stop
from tests.support import environment, eventually, program

pytestmark = pytest.mark.slow


def child(folder: Path, kind: str) -> Child:
    return Child(kind, [str(folder), kind], os.environ, module="tests.unit.supervised")


def started(folder: Path, kind: str) -> list[int]:
    return [int(path.suffix[1:]) for path in folder.glob(f"{kind}.*")]


def living(folder: Path) -> list[int]:
    pids = [int(path.suffix[1:]) for path in folder.iterdir()]
    return [
        pid
        for pid in pids
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


class Running:
    """A supervisor in a thread."""

    def __init__(self, folder: Path, *kinds: str, shutdown_seconds: float = 5.0) -> None:
        self.stop = Stop(shutdown_seconds)
        self.drained: bool | None = None
        self._supervisor = Supervisor([child(folder, kind) for kind in kinds])
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.drained = self._supervisor.run(self.stop)

    def end(self) -> bool | None:
        self.stop.request()
        self._thread.join()
        return self.drained


def test_a_killed_child_is_started_again_and_stop_ends_all(tmp_path: Path) -> None:
    running = Running(tmp_path, "steady")
    try:
        (first,) = eventually(lambda: started(tmp_path, "steady"))
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(started(tmp_path, "steady")) == 2)
    finally:
        assert running.end() is True
    assert living(tmp_path) == []


def template() -> psutil.Process:
    """What children are forked from."""
    mine = psutil.Process().children()
    (found,) = [one for one in mine if "forked from" in " ".join(one.cmdline())]
    return found


def test_a_service_manager_may_tell_everybody_to_stop(tmp_path: Path) -> None:
    running = Running(tmp_path, "steady")
    try:
        (first,) = eventually(lambda: started(tmp_path, "steady"))
        template().terminate()
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(started(tmp_path, "steady")) == 2)
        template().terminate()
    finally:
        assert running.end() is True
    assert living(tmp_path) == []


def test_children_of_a_template_that_died_make_room_for_new_ones(tmp_path: Path) -> None:
    running = Running(tmp_path, "steady")
    try:
        (first,) = eventually(lambda: started(tmp_path, "steady"))
        template().kill()
        eventually(lambda: len(started(tmp_path, "steady")) == 2)
        assert first not in living(tmp_path)
    finally:
        assert running.end() is True
    assert living(tmp_path) == []


def test_pauses_grow_and_are_reset_after_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Time:
        now = 0.0

    monkeypatch.setattr(supervisor, "_POLL_SECONDS", 0.001)
    starts: list[float] = []
    stop = Stop(1.0)

    def clock() -> float:
        # One second goes by each time somebody looks.
        Time.now += 1.0
        return Time.now

    real_start = Supervisor._start

    def start(self: Supervisor, slot: supervisor._Slot, now: float) -> None:
        starts.append(now)
        if len(starts) == 8:
            stop.request()
        real_start(self, slot, now)
        assert slot.process is not None
        slot.process.join(60)
        if len(starts) == 7:
            Time.now += supervisor.HEALTHY_SECONDS

    monkeypatch.setattr(Supervisor, "_start", start)
    Supervisor([child(tmp_path, "failing")], monotonic=clock).run(stop)
    pauses = [later - earlier - 1 for earlier, later in itertools.pairwise(starts)]
    assert pauses == [1, 2, 4, 8, 16, 30, supervisor.HEALTHY_SECONDS + 1]


class Time:
    """A clock that the test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def supervised(folder: Path, kind: str, time: Time) -> Iterator[Supervisor]:
    """A supervisor at work that has one child and a clock which stands still."""
    stop = Stop(5.0)
    found = Supervisor([replace(child(folder, kind), instance="host-1")], monotonic=time)
    thread = threading.Thread(target=found.run, args=(stop,))
    thread.start()
    try:
        yield found
    finally:
        stop.request()
        thread.join(60)
        assert not thread.is_alive()


def told(one: Supervisor, state: str, times: int = 0) -> str:
    """What is told of the only child, as soon as it is in a state."""
    wanted = f"{times} times in a row" if times else ""

    def found() -> list[dict[str, Any]]:
        [row] = one.page()["services"]
        return [row] if row["state"] == state and wanted in row["detail"] else []

    [row] = eventually(found)
    assert (row["instance"], row["host"]) == ("host-1", socket.gethostname())
    assert (row["process"] is None) == (state == "down")
    return str(row["detail"])


def sample(name: str, kind: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"service": kind, "instance_name": "host-1"})


def test_a_child_that_cannot_start_is_told_with_its_reason_and_is_well_after_a_minute(
    tmp_path: Path,
) -> None:
    reason = "the port is taken (password=***): set another"
    time = Time()
    with supervised(tmp_path, "refusing", time) as supervisor:
        assert told(supervisor, "down") == (
            f"ended with status 1 0 s ago, starts again in 1 s: {reason}"
        )
        assert sample("sightline_service_down", "refusing") == 1
        assert sample("sightline_service_restarts_total", "refusing") == 0
        time.now += 1
        told(supervisor, "down", times=2)
        time.now += 1.5
        assert told(supervisor, "down") == (
            f"ended with status 1 2 s ago (2 times in a row), starts again in 0 s: {reason}"
        )
        (tmp_path / "the-port-is-free").touch()
        time.now += 0.5
        assert told(supervisor, "restarting") == (
            f"started 0 s ago, before that ended with status 1 (2 times in a row): {reason}"
        )
        assert sample("sightline_service_down", "refusing") == 1
        time.now += 60
        assert told(supervisor, "up") == ""
        assert sample("sightline_service_down", "refusing") == 0
        assert sample("sightline_service_restarts_total", "refusing") == 2


def test_a_child_that_was_killed_once_is_well_as_soon_as_it_is_back(tmp_path: Path) -> None:
    time = Time()
    with supervised(tmp_path, "steady", time) as supervisor:
        (first,) = eventually(lambda: started(tmp_path, "steady"))
        assert told(supervisor, "up") == ""
        os.kill(first, signal.SIGKILL)
        assert told(supervisor, "down") == "ended with SIGKILL 0 s ago, starts again in 1 s"
        time.now += 1
        assert told(supervisor, "up") == ""


def test_a_child_that_fails_unforeseen_and_one_that_is_done_are_told(tmp_path: Path) -> None:
    with supervised(tmp_path, "broken", Time()) as supervisor:
        assert told(supervisor, "down").endswith("starts again in 1 s: KeyError: 'the port'")
    stop = Stop(1.0)
    supervisor = Supervisor([child(tmp_path, "done")])
    supervisor.run(stop)
    [row] = supervisor.page()["services"]
    assert row["state"] == "down"
    assert row["detail"] == "ended with status 0 0 s ago, is not started again"


def test_a_child_that_is_done_stays_so(tmp_path: Path) -> None:
    running = Running(tmp_path, "done", "done")
    eventually(lambda: running.drained is not None)
    assert running.end() is True
    assert len(started(tmp_path, "done")) == 2


def test_a_child_that_does_not_drain_is_killed_at_the_deadline(tmp_path: Path) -> None:
    running = Running(tmp_path, "stubborn", "steady", shutdown_seconds=0.3)
    eventually(lambda: started(tmp_path, "stubborn") and started(tmp_path, "steady"))
    assert running.end() is False
    assert living(tmp_path) == []


@pytest.mark.slow
def test_a_killed_supervisor_takes_its_children_along(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from sightline.runtime.lifecycle import Stop
        from ops.local_stack.supervisor import Supervisor
        from tests.unit.test_supervisor import child
        folder = Path(sys.argv[1])
        Supervisor([child(folder, "steady"), child(folder, "stubborn")]).run(Stop(5))
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with program(command, env=environment(tmp_path)) as process:
        eventually(lambda: started(tmp_path, "steady") and started(tmp_path, "stubborn"))
        process.kill()
    eventually(lambda: living(tmp_path) == [])
