"""System programs such as Java: found, installed, or asked for in one line."""

import os
import shutil
import subprocess

from ops.terminal import progress_console
from sightline.runtime.errors import SightlineError


def ensure_program(name: str, debian_package: str) -> str:
    """Return the path of a program; it is installed if root runs on a Debian-like machine.

    Raises SightlineError that says what to install.
    """
    path = shutil.which(name)
    if path:
        return path
    if shutil.which("apt-get") and os.geteuid() == 0:
        with progress_console.status(f"installing {debian_package}"):
            _apt_get("update", "-qq")
            _apt_get("install", "-y", "-qq", "--no-install-recommends", debian_package)
        path = shutil.which(name)
    if not path:
        raise SightlineError(
            f"{name} is missing: install it (Debian: apt-get install {debian_package})"
        )
    return path


def _apt_get(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(
        ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False,
        umask=0o022,  # files of packages are readable by all
    )  # fmt: skip
    if result.returncode:
        lines = (result.stderr.strip() or result.stdout.strip()).splitlines() or [""]
        raise SightlineError(f"apt-get {' '.join(arguments)} failed: {lines[-1]}")
