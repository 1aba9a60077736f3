"""`up`, `down` and `status` on real processes."""

import socket
import stat
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil
import pytest

from ops.local_stack.cluster import Cluster
from ops.local_stack.database import Database
from ops.local_stack.ports import is_free
from sightline.runtime.connection_urls import StackState
from sightline.runtime.settings import Settings
from tests.stack.commands_support import sightline_json
from tests.support import eventually, run_sightline

pytestmark = pytest.mark.stack


def processes(home: Path) -> list[psutil.Process]:
    """Whatever works for a home: its path is in the command line or is the working folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and str(home) in " ".join([*(process.info["cmdline"] or []), process.info["cwd"] or ""])
    ]


def parts(home: Path) -> dict[str, str]:
    found = sightline_json(Settings(home=home), "status")["parts"]
    return {part["part"]: part["state"] for part in found}


def marker(home: Path, text: str | None = None) -> str:
    """Write to the database, and read what was written last."""
    from sightline.storage.db import connect

    with connect(Settings(home=home)) as connection:
        if text is not None:
            connection.execute("INSERT INTO rooms (room_id, name) VALUES (%s, '')", (text,))
        row = connection.execute("SELECT room_id FROM rooms ORDER BY created_at DESC").fetchone()
        return str(row[0]) if row else ""


def test_up_again_changes_nothing(stack: Settings) -> None:
    before = {process.pid for process in processes(stack.home)}
    ports = StackState.load(stack.home)
    run_sightline(stack.home, "up")
    assert StackState.load(stack.home) == ports
    kept = {
        process.pid for process in Cluster(stack.home).running() + Database(stack.home).running()
    }
    assert len(kept) == 2
    assert kept <= before
    assert parts(stack.home) == {"kafka": "up", "database": "up", "objects": "up"}


def test_a_home_keeps_its_secrets_and_listens_on_loopback_alone(stack: Settings) -> None:
    assert stat.S_IMODE((stack.home / "stack.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((stack.home / "objects").stat().st_mode) == 0o700
    listening = [
        connection.laddr.ip
        for process in processes(stack.home)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 4
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_a_second_home_beside_the_first_survives_a_power_cut_and_taken_ports(
    stack: Settings, home: Path
) -> None:
    run_sightline(home, "up")
    marker(home, "kept")
    assert parts(stack.home) == parts(home) == {"kafka": "up", "database": "up", "objects": "up"}
    assert marker(stack.home) != "kept"

    killed = Cluster(home).running() + Database(home).running()
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=10)
    before = StackState.load(home)
    assert before is not None
    with ExitStack() as strangers:
        for port in before.used_ports:
            eventually(partial(is_free, port))  # the dead one's children go in a moment
            stranger = strangers.enter_context(socket.socket())
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("127.0.0.1", port))
            stranger.listen()
        run_sightline(home, "up")
    after = StackState.load(home)
    assert after is not None
    assert not before.used_ports & after.used_ports
    assert parts(home) == {"kafka": "up", "database": "up", "objects": "up"}
    assert marker(home) == "kept"

    run_sightline(home, "down")
    assert processes(home) == []
    assert parts(stack.home)["kafka"] == "up"
    result = run_sightline(home, "status", check=False)
    assert result.returncode == 1
    assert "down" in result.stdout
    assert run_sightline(home, "down").stdout.strip() == "nothing ran"


def test_without_up_a_command_says_what_to_do(home: Path) -> None:
    result = run_sightline(home, "topics", "list", check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "sightline up" in result.stderr


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run_sightline(tmp_path / "file" / "home", "up", check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "cannot be written" in result.stderr


def test_a_damaged_memory_is_one_line(home: Path) -> None:
    (home / "stack.json").write_text("{")
    result = run_sightline(home, "up", check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "stack.json is damaged" in result.stderr
    (home / "stack.json").unlink()
