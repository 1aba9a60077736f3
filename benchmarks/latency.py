"""Latency of two live RTSP cameras at 10 frames/s, from the capture to the access log."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.material import SHARED, own_films
from benchmarks.rig import add_cameras, own_folder, own_stack, run_as_program
from ops.demo import installation
from ops.demo.report import milliseconds, percentile
from ops.demo.results import read_output
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.cameras import NewCamera
from sightline.storage.db import connect

_SERVER = Path(__file__).parents[1] / "tests" / "rtsp_server.py"
_SYSTEM_PYTHON = Path("/usr/bin/python3")
"""Debian's own: it has GStreamer's bindings."""

_ROWS = 24
"""Each person of the two films twice."""

_TIMEOUT_SECONDS = 180.0

console = Console()


def missing() -> str | None:
    """Return the reason why the RTSP server cannot run, or None."""
    if not _SYSTEM_PYTHON.exists():
        return f"no {_SYSTEM_PYTHON}"
    script = "import gi; gi.require_version('GstRtspServer', '1.0')"
    result = subprocess.run(
        [str(_SYSTEM_PYTHON), "-c", script], capture_output=True, text=True, check=False
    )
    return "no GStreamer RTSP server (deploy/install-test-tools)" if result.returncode else None


@contextmanager
def rtsp_server(films: dict[str, Path]) -> Iterator[dict[str, str]]:
    """Run a real RTSP server that plays films in a loop; give the cameras' addresses by name."""
    mounts = [part for name, film in films.items() for part in ("--mount", f"{name}={film}")]
    server = subprocess.Popen(
        [str(_SYSTEM_PYTHON), str(_SERVER), "--port", "0", *mounts],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        word, _, port = server.stdout.readline().strip().partition(" ")
        if word != "ready":
            raise SightlineError("the RTSP server did not start")
        yield {name: f"rtsp://127.0.0.1:{port}/{name}" for name in films}
    finally:
        server.terminate()
        server.wait(10)


def measure(models: Path | None) -> list[float]:
    """Return the seconds from capture to row, of every row."""
    with own_folder() as folder:
        paths, photos = own_films(folder)
        with (
            own_stack(models, photos) as settings,
            rtsp_server({film.stem: film for film in paths}) as addresses,
            installation.running_services(settings, *installation.ALL_SERVICES) as services,
        ):
            installation.wait_until_ready(settings, services)
            new = [NewCamera(camera_id=name, uri=uri) for name, uri in addresses.items()]
            add_cameras(settings, new)
            return _latencies(settings, services)


def _latencies(settings: Settings, services: subprocess.Popen[bytes]) -> list[float]:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    with connect(settings, autocommit=True) as db:
        while installation.read_progress(db).rows < _ROWS:
            if services.poll() is not None or time.monotonic() > deadline:
                raise SightlineError(f"no {_ROWS} rows came; see {installation.log_of(settings)}")
            time.sleep(0.5)
        return [row.latency for row in read_output(settings, db).rows]


def main(models: Path | None) -> dict[str, Any]:
    """Measure and print; the numbers by name."""
    reason = missing()
    if reason is not None:
        console.print(f"latency of live cameras: not measured, {reason}")
        return {"latency_ms_p50": None, "latency_ms_p95": None}
    console.print("two live RTSP cameras at 10 frames/s ...")
    seconds = measure(models)
    p50, p95 = (milliseconds(percentile(seconds, share)) for share in (0.5, 0.95))
    console.print(f"camera to row, {len(seconds)} rows: median {p50:.0f} ms, 95% {p95:.0f} ms")
    return {"latency_ms_p50": p50, "latency_ms_p95": p95}


if __name__ == "__main__":
    folder = SHARED / "models"
    models = folder if folder.is_dir() else None
    run_as_program("bench", lambda: print(json.dumps(main(models))))
