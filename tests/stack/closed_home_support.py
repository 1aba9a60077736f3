"""What other users reach of a home. Only root can act as another user."""

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import platformdirs

REACHABLE = 'while IFS= read -r path; do [ -e "$path" ] && printf "%s\\n" "$path"; done; true'


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
    nobody = pwd.getpwnam("nobody")
    result = subprocess.run(
        ["/bin/sh", "-c", REACHABLE], input="\n".join(map(str, paths(home))), cwd="/",
        user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
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
