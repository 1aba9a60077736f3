"""The services under test: real processes, observed by their own metrics."""

import re
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.rig import wait_for
from ops.local_stack.ports import free_port
from tests.support import environment, sightline_command, start

_REQUEST_TIMEOUT_SECONDS = 3.0
_START_SECONDS = 90.0


class Service:
    """A running service."""

    def __init__(self, name: str, home: Path, **environ: str) -> None:
        self.name = name
        self._home = home
        self._environ = environ
        self._log = home / f"fuzz-{name}.log"
        self.start()

    def start(self) -> None:
        """Start the process, also after an end."""
        self._port = free_port(set())
        environ = environment(
            self._home, SIGHTLINE_METRICS_PORT=str(self._port), SIGHTLINE_PACK="dlib",
            SIGHTLINE_INSTANCE="1", **self._environ,
        )  # fmt: skip
        self.process = start(sightline_command("run", self.name), self._log, env=environ)

    def is_alive(self) -> bool:
        """Return True if the process has not ended."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Send SIGTERM, and wait."""
        self.process.terminate()
        self.process.wait(30)

    def kill(self) -> None:
        """Send SIGKILL, and wait."""
        self.process.kill()
        self.process.wait(10)

    def log(self) -> str:
        """Return the end of its log."""
        return self.whole_log()[-3000:]

    def whole_log(self) -> str:
        """Return its log."""
        return self._log.read_text(errors="replace")

    def until_ready(self) -> None:
        """Wait until it serves its metrics. Raises RuntimeError."""
        if not wait_for(lambda: self._metrics() != "" or not self.is_alive(), _START_SECONDS):
            raise RuntimeError(f"{self.name} does not start: {self.log()}")

    def url(self) -> str:
        """Return the API's URL once it listens. Raises RuntimeError."""
        urls: list[str] = []

        def is_listening() -> bool:
            urls[:] = re.findall(r"api: on (http://\S+)", self.whole_log())
            return bool(urls)

        if not wait_for(is_listening, _START_SECONDS):
            raise RuntimeError(f"{self.name} does not listen: {self.log()}")
        return urls[-1]

    def taken(self, topic: str) -> int:
        """Return the number of consumed records of a topic from its metrics."""
        return self._count("sightline_records_total", service=self.name, topic=topic)

    def refused(self) -> int:
        """Return the number of its dead letters from its metrics."""
        return self._count("sightline_dead_letters_total", service=self.name)

    def _count(self, metric: str, **labels: str) -> int:
        return int(sum(
            sample.value
            for family in text_string_to_metric_families(self._metrics())
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        ))  # fmt: skip

    def _metrics(self) -> str:
        try:
            with urlopen(
                f"http://127.0.0.1:{self._port}/metrics", timeout=_REQUEST_TIMEOUT_SECONDS
            ) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""
