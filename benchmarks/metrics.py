"""`make bench-metrics`: what metrics cost vision, in frames/s.

Two fleets of workers, one for each core, stand side by side: the service, which is asked for its
metrics as Prometheus would, and the same without any. The same frames go through one and then the
other, many times: of each pair the ratio counts, and of all pairs the median, because a machine is
not equally fast at all times. On one that has other work frames/s say little, and the workers' CPU
time still says what metrics cost: it fails where both do.

Usage: python -m benchmarks.metrics [--rounds N]
"""

import argparse
import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from rich.console import Console

from benchmarks.frames import CAMERAS, FRAMES, Bench, bench, read_film
from benchmarks.material import material
from benchmarks.rig import own_folder
from ops.demo import installation
from sightline.runtime import service_discovery
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import configure_logging
from sightline.runtime.settings import Settings

MOST_LOST = 0.02
"""Of the frames per second, at most."""

_ROUNDS = 10
_FRAMES = CAMERAS * FRAMES
"""In one round."""

_SCRAPE_SECONDS = 5.0

_WORKERS = {"with": ("sightline", "run", "vision"), "without": ("benchmarks.unmeasured_worker",)}


@dataclass(slots=True)
class Taken:
    """Seconds of each round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


console = Console(stderr=True)


def measure(settings: Settings, film: Sequence[bytes], rounds: int) -> dict[str, Taken]:
    """Both ways, in turns."""
    taken = {way: Taken() for way in _WORKERS}
    with (
        bench(settings, "with", _WORKERS["with"], film) as measured,
        bench(settings, "without", _WORKERS["without"], film) as plain,
        scraped(settings.home),
    ):
        fleets: dict[str, Bench] = {"with": measured, "without": plain}
        for turn in range(rounds):
            for way in fleets if turn % 2 else reversed(fleets):
                before = fleets[way].cpu_seconds()
                taken[way].wall.append(fleets[way].backlog())
                taken[way].cpu.append(fleets[way].cpu_seconds() - before)
            console.print({way: round(_FRAMES / one.wall[-1], 1) for way, one in taken.items()})
    return taken


@contextmanager
def scraped(home: Path) -> Iterator[None]:
    """All services are asked for their metrics every few seconds."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(_SCRAPE_SECONDS):
            for one in service_discovery.targets(home):
                with urlopen(f"http://{one.address}/metrics") as answer:
                    answer.read()

    thread = threading.Thread(target=scrape, name="scrape")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def summary(taken: Mapping[str, Taken]) -> dict[str, float | int]:
    """Frames per second and CPU time of both ways, and the share of each that metrics cost."""
    measured, plain = taken["with"], taken["without"]
    slower = 1 - np.array(plain.wall) / np.array(measured.wall)
    more = np.array(measured.cpu) / np.array(plain.cpu) - 1
    return {
        "rounds": len(slower),
        "fps_with": round(_FRAMES / float(np.median(measured.wall)), 2),
        "fps_without": round(_FRAMES / float(np.median(plain.wall)), 2),
        "fps_lost": round(float(np.median(slower)), 4),
        "fps_lost_lower_quartile": round(float(np.quantile(slower, 0.25)), 4),
        "fps_lost_upper_quartile": round(float(np.quantile(slower, 0.75)), 4),
        "cpu_ms_per_frame_with": round(1000 * float(np.median(measured.cpu)) / _FRAMES, 2),
        "cpu_ms_per_frame_without": round(1000 * float(np.median(plain.cpu)) / _FRAMES, 2),
        "cpu_more": round(float(np.median(more)), 4),
    }


def main() -> None:
    """Measure, print, and fail where it costs more than is promised."""
    parser = argparse.ArgumentParser(prog="bench-metrics")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    rounds = parser.parse_args().rounds
    with own_folder() as folder, own_folder() as home:
        what = material(folder)
        settings = installation.own_settings(home, what.models)
        with installation.running_stack(settings):
            console.print(
                f"frames/s of {installation.WORKERS} workers each, {rounds} rounds of both ..."
            )
            found = summary(measure(settings, read_film(what), rounds))
    print(json.dumps(found))
    if min(found["fps_lost"], found["cpu_more"]) > MOST_LOST:
        raise SightlineError(f"metrics cost {found['fps_lost']:.1%} of the frames/s")


if __name__ == "__main__":
    configure_logging("WARNING", kafka=False)
    try:
        main()
    except SightlineError as error:
        sys.exit(f"bench-metrics: {error}")
