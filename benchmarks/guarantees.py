"""`make bench-guarantees`: the cost of transactions and state for vision, frames/s and latency.

The same frames go through the service and through a worker without guarantees, one after the
other and several times: a machine is not equally fast at all times. Each has one process for each
core.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.frames import CAMERAS, FRAMES, RATE, bench, read_film
from benchmarks.material import material
from benchmarks.rig import own_folder, run_as_program
from ops.demo import installation
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

MOST_LOST = 0.15
"""Of the frames per second, at most."""

MOST_LATER = 0.150
"""Seconds that 95% of the frames may come later, at most."""

_ROUNDS = 3
_LOAD = 0.5
"""Of the cameras that the workers can keep up with, while latency is measured."""

_WORKERS = {"with": ("ops", "run", "vision"), "without": ("benchmarks.plain_worker",)}

console = Console()


@dataclass(slots=True)
class Cost:
    """Measurements of one variant over all rounds."""

    frames: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Frames per second of all workers together."""
        return self.frames / self.seconds

    @property
    def p95(self) -> float:
        """Latency in seconds of 95% of the frames."""
        return self.quantile(0.95)

    def quantile(self, fraction: float) -> float:
        """Return the quantile of the seconds from capture to the record in `tracks`."""
        return float(np.quantile(self.latencies, fraction))


def measure(settings: Settings, film: Sequence[bytes]) -> dict[str, Cost]:
    """Measure both variants in alternating order."""
    costs = {variant: Cost() for variant in _WORKERS}
    for turn in range(_ROUNDS):
        order = list(costs) if turn % 2 else list(reversed(costs))
        for variant in order:
            with bench(settings, f"fps-{variant}-{turn}", _WORKERS[variant], film) as its:
                costs[variant].seconds += its.backlog()
                costs[variant].frames += CAMERAS * FRAMES
    possible = min(cost.fps for cost in costs.values()) / RATE
    cameras = min(CAMERAS, max(1, round(_LOAD * possible)))
    console.print(f"latency, with {cameras} cameras of the {possible:.1f} that are possible ...")
    for turn in range(_ROUNDS):
        for variant, cost in costs.items():
            with bench(settings, f"live-{variant}-{turn}", _WORKERS[variant], film) as its:
                cost.latencies += its.live(cameras)
    return costs


def _print(costs: dict[str, Cost]) -> None:
    title = f"vision, {installation.WORKERS} workers, {CAMERAS} cameras"
    table = Table("transactions and state", "frames/s", "latency p50", "p95", title=title)
    for variant, cost in costs.items():
        half = cost.quantile(0.5)
        table.add_row(
            variant, f"{cost.fps:.1f}", f"{half * 1000:.0f} ms", f"{cost.p95 * 1000:.0f} ms"
        )
    console.print(table)


def main() -> None:
    """Measure, print, and fail where it costs more than is promised."""
    with own_folder() as folder, own_folder() as home:
        material_used = material(folder)
        settings = installation.own_settings(home, material_used.models)
        with installation.running_stack(settings):
            console.print(f"frames/s, {_ROUNDS} rounds of both ...")
            costs = measure(settings, read_film(material_used))
    _print(costs)
    sure, plain = costs["with"], costs["without"]
    lost = 1 - sure.fps / plain.fps
    later = sure.p95 - plain.p95
    console.print(
        f"cost: {lost:.1%} of the frames/s (at most {MOST_LOST:.0%}),"
        f" {later * 1000:.0f} ms at p95 (at most {MOST_LATER * 1000:.0f})"
    )
    summary: dict[str, Any] = {
        "fps_with": round(sure.fps, 2),
        "fps_without": round(plain.fps, 2),
        "fps_lost": round(lost, 4),
        "p95_ms_with": round(sure.p95 * 1000),
        "p95_ms_without": round(plain.p95 * 1000),
        "p95_ms_later": round(later * 1000),
    }
    print(json.dumps(summary))
    if lost > MOST_LOST or later > MOST_LATER:
        raise SightlineError("the guarantees cost more than is promised")


if __name__ == "__main__":
    run_as_program("bench-guarantees", main)
