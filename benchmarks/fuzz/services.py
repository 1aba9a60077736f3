"""The services under test: real processes, asked by their own metrics what they have taken."""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from ops.local_stack.ports import free_port
from tests.support import ROOT, environment, sightline_command

_SECONDS = 3.0
_START_SECONDS = 90.0


class Service:
    """One service, running."""

    def __init__(self, name: str, home: Path, **environ: str) -> None:
        self.name = name
        self._home = home
        self._environ = environ
        self._log = home / f"fuzz-{name}.log"
        self.start()

    def start(self) -> None:
        """Start it, also once more."""
        self._port = free_port(set())
        environ = environment(
            self._home, SIGHTLINE_METRICS_PORT=str(self._port), SIGHTLINE_PACK="dlib",
            SIGHTLINE_INSTANCE="1", **self._environ,
        )  # fmt: skip
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                sightline_command("run", self.name), cwd=ROOT, env=environ, stdout=log, stderr=log
            )

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.terminate()
        self.process.wait(30)

    def kill(self) -> None:
        """Kill -9, and wait."""
        self.process.kill()
        self.process.wait(10)

    def log(self) -> str:
        """Its last words."""
        return self.whole_log()[-3000:]

    def whole_log(self) -> str:
        """All that it has said."""
        return self._log.read_text(errors="replace")

    def until_ready(self) -> None:
        """Wait until it serves its metrics. Raises RuntimeError."""
        if not wait_for(lambda: self._told() != "" or not self.is_alive(), _START_SECONDS):
            raise RuntimeError(f"{self.name} does not start: {self.log()}")

    def url(self) -> str:
        """Where the API is, once it says so. Raises RuntimeError."""
        found: list[str] = []

        def said() -> bool:
            found[:] = re.findall(r"api: on (http://\S+)", self.whole_log())
            return bool(found)

        if not wait_for(said, _START_SECONDS):
            raise RuntimeError(f"{self.name} does not listen: {self.log()}")
        return found[-1]

    def taken(self, topic: str) -> int:
        """How many records of a topic it says that it has taken."""
        return self._count("sightline_records_total", service=self.name, topic=topic)

    def refused(self) -> int:
        """How many records it says that it has given up."""
        return self._count("sightline_dead_letters_total", service=self.name)

    def _count(self, metric: str, **labels: str) -> int:
        return int(sum(
            sample.value
            for family in text_string_to_metric_families(self._told())
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        ))  # fmt: skip

    def _told(self) -> str:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=_SECONDS) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
