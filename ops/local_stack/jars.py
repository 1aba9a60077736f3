"""Artefacts from Maven, Kafka's jars first: fetched once for a user, shared by all homes."""

import hashlib
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import platformdirs

from ops.local_stack.system_programs import ensure_program
from ops.terminal import progress_console
from sightline.runtime.errors import SightlineError
from sightline.runtime.file_locks import locked

_POM = files("ops.local_stack") / "pom.xml"


def kafka_jars() -> Path:
    """Return the folder of the broker's jars; they are fetched if absent.

    Raises SightlineError if they cannot be fetched.
    """
    return maven_jars("kafka", _POM.read_bytes())


def kafka_jars_folder() -> Path:
    """Return the folder of the broker's jars, be they there or not."""
    return _jars_folder("kafka", _POM.read_bytes())


def maven_jars(name: str, pom: bytes, *options: str) -> Path:
    """Return the folder of the jars of a Maven project; they are fetched if absent.

    Raises SightlineError if they cannot be fetched.
    """
    folder = _jars_folder(name, pom)
    if folder.exists():
        return folder
    cache = folder.parent
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{name}-jars.lock"):
        if not folder.exists():
            _fetch(name, pom, options, folder)
    return folder


def _jars_folder(name: str, pom: bytes) -> Path:
    cache = platformdirs.user_cache_path("sightline")
    return cache / f"{name}-{hashlib.sha256(pom).hexdigest()[:12]}"


def _fetch(name: str, pom: bytes, options: Iterable[str], folder: Path) -> None:
    maven = ensure_program("mvn", "maven")
    title = name.capitalize()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{name}-") as draft:
        work = Path(draft)
        (work / "pom.xml").write_bytes(pom)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={work / 'jars'}"]
        process = subprocess.Popen(
            [maven, "-B", *goal, *options],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            outcome = _show_progress(title, process.stdout or ())
        if process.returncode:
            raise SightlineError(f"Maven did not bring {title}'s jars: {outcome}")
        # The folder appears whole: nobody ever sees half of the jars.
        shutil.move(work / "jars", folder)


def _show_progress(title: str, lines: Iterable[str]) -> str:
    """Show Maven's output; return the first error in it, else its last line."""
    downloaded = 0
    last: deque[str] = deque(maxlen=1)
    errors: list[str] = []
    with progress_console.status(f"fetching {title}'s jars") as status:
        for line in lines:
            if "Downloaded from" in line:
                downloaded += 1
                name = line.split("(")[0].rsplit("/", 1)[-1].strip()
                status.update(f"fetching {title}'s jars: {downloaded} files, {name}")
            if line.startswith("[ERROR]"):
                errors.append(line.removeprefix("[ERROR]").strip())
            if line.strip():
                last.append(line.strip())
    if not progress_console.is_terminal and downloaded:
        progress_console.print(f"fetched {title}'s jars: {downloaded} files")
    return next(iter(errors or last), "no output")
