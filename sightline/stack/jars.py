"""Kafka's jars: fetched once for a user through Maven, shared by all homes."""

import hashlib
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import platformdirs

from sightline.cli.output import progress_console
from sightline.errors import SightlineError
from sightline.stack.locks import locked
from sightline.stack.tools import ensure_program

_POM = files("sightline.stack") / "pom.xml"


def kafka_jars() -> Path:
    """The folder of the broker's jars; fetched when it is not there.

    Raises SightlineError when they cannot be fetched.
    """
    pom = _POM.read_bytes()
    cache = platformdirs.user_cache_path("sightline")
    folder = cache / f"kafka-{hashlib.sha256(pom).hexdigest()[:12]}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "kafka.lock"):
        if not folder.exists():
            _fetch(pom, folder)
    return folder


def _fetch(pom: bytes, folder: Path) -> None:
    maven = ensure_program("mvn", "maven")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="kafka-") as draft:
        work = Path(draft)
        (work / "pom.xml").write_bytes(pom)
        process = subprocess.Popen(
            [maven, "-B", "dependency:copy-dependencies", f"-DoutputDirectory={work / 'jars'}"],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            said = _show_progress(process.stdout or ())
        if process.returncode:
            raise SightlineError(f"Maven did not bring Kafka's jars: {said}")
        # All or nothing: nobody ever sees half of the jars.
        shutil.move(work / "jars", folder)


def _show_progress(lines: Iterable[str]) -> str:
    """Follow Maven's output; the first error it names, else its last line."""
    downloaded = 0
    last: deque[str] = deque(maxlen=1)
    errors: list[str] = []
    with progress_console.status("fetching Kafka's jars") as status:
        for line in lines:
            if "Downloaded from" in line:
                downloaded += 1
                name = line.split("(")[0].rsplit("/", 1)[-1].strip()
                status.update(f"fetching Kafka's jars: {downloaded} files, {name}")
            if line.startswith("[ERROR]"):
                errors.append(line.removeprefix("[ERROR]").strip())
            if line.strip():
                last.append(line.strip())
    if not progress_console.is_terminal and downloaded:
        progress_console.print(f"fetched Kafka's jars: {downloaded} files")
    return next(iter(errors or last), "no output")
