"""A home is its owner's alone: no other user reaches a file of it, and nothing above it is opened.

Only root can act as another user, and only root's PostgreSQL runs as one.
"""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
import pytest

from ops.local_stack.process_registry import running_services
from sightline.runtime.settings import Settings
from tests.stack.test_up_down import marker
from tests.support import (
    environment,
    eventually,
    own_home,
    run_sightline,
    sightline_command,
)

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user"),
]

NOBODY = pwd.getpwnam("nobody")
REACHABLE = 'while IFS= read -r path; do [ -e "$path" ] && printf "%s\\n" "$path"; done; true'
SERVICES = 11
"""Processes of `run all` with one vision worker, the supervisor among them."""


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A folder that anybody may list, in one that its owner alone may enter."""
    with own_home() as folder:
        home = folder / "home"
        home.mkdir()
        home.chmod(0o755)
        try:
            yield home
        finally:
            run_sightline(home, "down")


def modes_above(home: Path) -> dict[Path, int]:
    """The modes of all folders above a home, the programs and what was fetched."""
    inner = (home, Path(sys.prefix).resolve() / "lib", platformdirs.user_cache_path("sightline"))
    return {
        folder: stat.S_IMODE(folder.stat().st_mode) for path in inner for folder in path.parents
        if folder.exists()
    }  # fmt: skip


def paths(home: Path) -> list[Path]:
    """Every path of a home, and of what it keeps elsewhere."""
    found = []
    for top in (home, (home / "postgres").resolve()):
        for folder, _folders, files in os.walk(top):
            found += [Path(folder), *(Path(folder, name) for name in files)]
    return found


def reachable(home: Path) -> list[str]:
    """The paths that the user `nobody` can see."""
    result = subprocess.run(
        ["/bin/sh", "-c", REACHABLE], input="\n".join(map(str, paths(home))), cwd="/",
        user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return result.stdout.splitlines()


def rights_of_others(home: Path) -> dict[str, str]:
    """The modes of what would be open to others if the folders above were."""
    data = (home / "postgres").resolve()
    found = {}
    for path in paths(home):
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue  # the stack runs
        # The system user passes the folder of its data by its group.
        if not stat.S_ISLNK(mode) and mode & (0o007 if path == data else 0o077):
            found[str(path)] = oct(mode)
    return found


@contextmanager
def all_services(home: Path) -> Iterator[None]:
    env = environment(home, SIGHTLINE_PACK="dlib", SIGHTLINE_API__PORT="0")
    command = sightline_command("run", "all", "--vision-workers", "1")
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, umask=0o022) as supervisor:
        try:
            yield
        finally:
            run_sightline(home, "down")
            supervisor.kill()


def test_no_other_user_reaches_anything_of_a_home(open_home: Path) -> None:
    """Of one of an earlier version that keeps its data, and becomes a secure one.

    A secure one has every file that a plain one has, and keys and passwords besides.
    """
    above = modes_above(open_home)
    assert above[open_home.parent] == 0o700
    result = run_sightline(open_home, "up", seconds=300)
    assert "others could enter the home" in result.stderr
    assert reachable(open_home) == []
    assert modes_above(open_home) == above
    marker(open_home, "kept")
    run_sightline(open_home, "down")
    # As it was: in the home, which let others pass.
    inside, elsewhere = open_home / "postgres", (open_home / "postgres").resolve()
    inside.unlink()
    shutil.move(elsewhere, inside)
    (inside / "home").unlink()
    inside.chmod(0o711)
    open_home.chmod(0o701)
    above = modes_above(open_home)
    run_sightline(open_home, "up", "--secure", seconds=300)
    assert marker(open_home) == "kept"
    assert inside.is_symlink()
    with all_services(open_home):
        eventually(lambda: len(running_services(Settings(home=open_home))) >= SERVICES)
        eventually((open_home / "match").exists)
        assert len(paths(open_home)) > 1000
        assert reachable(open_home) == []
        assert rights_of_others(open_home) == {}
    assert stat.S_IMODE(open_home.stat().st_mode) == 0o700
    assert modes_above(open_home) == above
