"""Programs that we do not bring ourselves: found, installed, or asked for in one line."""

import os
import shutil
import subprocess

from ops.terminal import progress_console
from sightline.runtime.errors import SightlineError


def ensure_program(name: str, debian_package: str) -> str:
    """The path of a program; installed where the machine is Debian-like and we are root.

    Raises SightlineError that says what to install.
    """
    found = shutil.which(name)
    if found:
        return found
    if shutil.which("apt-get") and os.geteuid() == 0:
        with progress_console.status(f"installing {debian_package}"):
            _apt_get("update", "-qq")
            _apt_get("install", "-y", "-qq", "--no-install-recommends", debian_package)
        found = shutil.which(name)
    if not found:
        raise SightlineError(
            f"{name} is missing: install it (Debian: apt-get install {debian_package})"
        )
    return found


def _apt_get(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(
        ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False,
        umask=0o022,  # what packages make is for everybody
    )  # fmt: skip
    if result.returncode:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines() or [""]
        raise SightlineError(f"apt-get {' '.join(arguments)} failed: {said[-1]}")
