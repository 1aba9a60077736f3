"""`make bench-metrics`: what metrics cost vision, in frames/s.

Two fleets of workers, one for each core, stand side by side: the service, which is asked for its
metrics as Prometheus would, and the same without any. The same frames go through one and then the
other, many times: of each pair the ratio counts, and of all pairs the median, because a machine is
not equally fast at all times. Usage: python -m benchmarks.metrics [--rounds N]
"""

import argparse
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from rich.console import Console

from benchmarks.frames import CAMERAS, FRAMES, Bench, bench, read_film
from benchmarks.material import material
from benchmarks.rig import own_folder
from sightline import targets
from sightline.demo import stage
from sightline.errors import SightlineError
from sightline.log import configure_logging
from sightline.settings import Settings

MOST_LOST = 0.02
"""Of the frames per second, at most."""

_ROUNDS = 10
_SCRAPE_SECONDS = 5.0

_WORKERS = {"with": ("sightline", "run", "vision"), "without": ("benchmarks.unmeasured_worker",)}

Seconds = dict[str, list[float]]
"""Of each round, for both ways."""

console = Console(stderr=True)


def measure(settings: Settings, film: Sequence[bytes], rounds: int) -> Seconds:
    """Both ways, in turns."""
    seconds: Seconds = {way: [] for way in _WORKERS}
    with (
        bench(settings, "with", _WORKERS["with"], film) as measured,
        bench(settings, "without", _WORKERS["without"], film) as plain,
        scraped(settings.home),
    ):
        fleets: dict[str, Bench] = {"with": measured, "without": plain}
        for turn in range(rounds):
            for way in fleets if turn % 2 else reversed(fleets):
                seconds[way].append(fleets[way].backlog())
            console.print(
                {way: round(FRAMES * CAMERAS / one[-1], 1) for way, one in seconds.items()}
            )
    return seconds


@contextmanager
def scraped(home: Path) -> Iterator[None]:
    """All services are asked for their metrics every few seconds."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(_SCRAPE_SECONDS):
            for one in targets.targets(home):
                with urlopen(f"http://{one.address}/metrics") as answer:
                    answer.read()

    thread = threading.Thread(target=scrape, name="scrape")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def summary(seconds: Seconds) -> dict[str, float | int]:
    """Frames per second of both ways, and the share that metrics cost."""
    lost = 1 - np.array(seconds["without"]) / np.array(seconds["with"])
    low, median, high = np.quantile(lost, [0.25, 0.5, 0.75])
    fps = {way: CAMERAS * FRAMES / float(np.median(one)) for way, one in seconds.items()}
    return {
        "rounds": len(lost),
        "fps_with": round(fps["with"], 2),
        "fps_without": round(fps["without"], 2),
        "fps_lost": round(float(median), 4),
        "fps_lost_lower_quartile": round(float(low), 4),
        "fps_lost_upper_quartile": round(float(high), 4),
    }


def main() -> None:
    """Measure, print, and fail where it costs more than is promised."""
    parser = argparse.ArgumentParser(prog="bench-metrics")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    rounds = parser.parse_args().rounds
    with own_folder() as folder, own_folder() as home:
        what = material(folder)
        settings = stage.own_settings(home, what.models)
        with stage.running_stack(settings):
            console.print(f"frames/s of {stage.WORKERS} workers each, {rounds} rounds of both ...")
            found = summary(measure(settings, read_film(what), rounds))
    print(json.dumps(found))
    if found["fps_lost"] > MOST_LOST:
        raise SightlineError(f"metrics cost {found['fps_lost']:.1%} of the frames/s")


if __name__ == "__main__":
    configure_logging("WARNING", kafka=False)
    try:
        main()
    except SightlineError as error:
        sys.exit(f"bench-metrics: {error}")
