"""`make bench-metrics`: the cost of metrics for vision, in frames/s.

Two fleets of workers, one for each core, stand side by side: the service, which is asked for its
metrics as Prometheus would, and the same without any. The same frames go through one and then the
other, many times: of each pair the ratio counts, and of all pairs the median, because a machine is
not equally fast at all times. On one that has other work frames/s say little, and the workers' CPU
time still says what metrics cost: it fails where both do.

Usage: python -m benchmarks.metrics [--rounds N]
"""

import argparse
import json
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
from benchmarks.rig import own_folder, run_as_program
from ops.demo import installation
from sightline.runtime import service_discovery
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

MOST_LOST = 0.02
"""Of the frames per second, at most."""

_ROUNDS = 10
_FRAMES = CAMERAS * FRAMES
"""Number of frames in one round."""

_SCRAPE_SECONDS = 5.0

_WORKERS = {"with": ("ops", "run", "vision"), "without": ("benchmarks.unmeasured_worker",)}


@dataclass(slots=True)
class Durations:
    """Wall and CPU seconds of each round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


console = Console(stderr=True)


def measure(settings: Settings, film: Sequence[bytes], rounds: int) -> dict[str, Durations]:
    """Measure both variants in alternating order."""
    durations = {variant: Durations() for variant in _WORKERS}
    with (
        bench(settings, "with", _WORKERS["with"], film) as measured,
        bench(settings, "without", _WORKERS["without"], film) as plain,
        scraped(settings.home),
    ):
        fleets: dict[str, Bench] = {"with": measured, "without": plain}
        for turn in range(rounds):
            for variant in fleets if turn % 2 else reversed(fleets):
                before = fleets[variant].cpu_seconds()
                durations[variant].wall.append(fleets[variant].backlog())
                durations[variant].cpu.append(fleets[variant].cpu_seconds() - before)
            last = {variant: own.wall[-1] for variant, own in durations.items()}
            console.print({variant: round(_FRAMES / wall, 1) for variant, wall in last.items()})
    return durations


@contextmanager
def scraped(home: Path) -> Iterator[None]:
    """Scrape the metrics of all services every few seconds."""
    stop_event = threading.Event()

    def scrape() -> None:
        while not stop_event.wait(_SCRAPE_SECONDS):
            for target in service_discovery.targets(home):
                with urlopen(f"http://{target.address}/metrics") as answer:
                    answer.read()

    thread = threading.Thread(target=scrape, name="scrape")
    thread.start()
    try:
        yield
    finally:
        stop_event.set()
        thread.join()


def summary(durations: Mapping[str, Durations]) -> dict[str, float | int]:
    """Return frames per second and CPU time of both variants, and the relative cost of metrics."""
    measured, plain = durations["with"], durations["without"]
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
        used_material = material(folder)
        settings = installation.own_settings(home, used_material.models)
        with installation.running_stack(settings):
            console.print(
                f"frames/s of {installation.WORKERS} workers each, {rounds} rounds of both ..."
            )
            result = summary(measure(settings, read_film(used_material), rounds))
    print(json.dumps(result))
    if min(result["fps_lost"], result["cpu_more"]) > MOST_LOST:
        raise SightlineError(f"metrics cost {result['fps_lost']:.1%} of the frames/s")


if __name__ == "__main__":
    run_as_program("bench-metrics", main)
