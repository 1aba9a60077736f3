"""What comes through Maven, Kafka's jars first: fetched once for a user, shared by all homes."""

import hashlib
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import platformdirs

from ops.local_stack.tools import ensure_program
from ops.terminal import progress_console
from sightline.runtime.errors import SightlineError
from sightline.runtime.file_locks import locked

_POM = files("ops.local_stack") / "pom.xml"


def kafka_jars() -> Path:
    """The folder of the broker's jars; fetched when it is not there.

    Raises SightlineError when they cannot be fetched.
    """
    return fetched("kafka", _POM.read_bytes())


def fetched(name: str, pom: bytes, *options: str) -> Path:
    """The folder of the jars that a project of Maven asks for; fetched when it is not there.

    Raises SightlineError when they cannot be fetched.
    """
    cache = platformdirs.user_cache_path("sightline")
    folder = cache / f"{name}-{hashlib.sha256(pom).hexdigest()[:12]}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{name}-jars.lock"):
        if not folder.exists():
            _fetch(name, pom, options, folder)
    return folder


def _fetch(name: str, pom: bytes, options: Iterable[str], folder: Path) -> None:
    maven = ensure_program("mvn", "maven")
    what = name.capitalize()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{name}-") as draft:
        work = Path(draft)
        (work / "pom.xml").write_bytes(pom)
        process = subprocess.Popen(
            [
                maven,
                "-B",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={work / 'jars'}",
                *options,
            ],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            said = _show_progress(what, process.stdout or ())
        if process.returncode:
            raise SightlineError(f"Maven did not bring {what}'s jars: {said}")
        # All or nothing: nobody ever sees half of the jars.
        shutil.move(work / "jars", folder)


def _show_progress(what: str, lines: Iterable[str]) -> str:
    """Follow Maven's output; the first error it names, else its last line."""
    downloaded = 0
    last: deque[str] = deque(maxlen=1)
    errors: list[str] = []
    with progress_console.status(f"fetching {what}'s jars") as status:
        for line in lines:
            if "Downloaded from" in line:
                downloaded += 1
                name = line.split("(")[0].rsplit("/", 1)[-1].strip()
                status.update(f"fetching {what}'s jars: {downloaded} files, {name}")
            if line.startswith("[ERROR]"):
                errors.append(line.removeprefix("[ERROR]").strip())
            if line.strip():
                last.append(line.strip())
    if not progress_console.is_terminal and downloaded:
        progress_console.print(f"fetched {what}'s jars: {downloaded} files")
    return next(iter(errors or last), "no output")
