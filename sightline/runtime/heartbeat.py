"""A line now and then that says what a service has done: for who has no Prometheus."""

import logging
import threading
from collections.abc import Callable, Mapping

from prometheus_client import REGISTRY, CollectorRegistry

from sightline.runtime.health import Health

log = logging.getLogger(__name__)

_PREFIX = "sightline_"

Totals = dict[str, float]
"""What counters have counted, by name, over all labels."""


def totals(registry: CollectorRegistry = REGISTRY) -> Totals:
    """Our counters as they stand."""
    return {
        family.name.removeprefix(_PREFIX): sum(
            sample.value for sample in family.samples if sample.name.endswith("_total")
        )
        for family in registry.collect()
        if family.type == "counter" and family.name.startswith(_PREFIX)
    }


def gained(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, int]:
    """What was counted in between, where anything was."""
    grown = {name: round(value - before.get(name, 0.0)) for name, value in after.items()}
    return {name: count for name, count in sorted(grown.items()) if count}


def beat(service: str, seconds: float, health: Health, wait: Callable[[float], bool]) -> None:
    """Sum up every so often until `wait` says that it is over, in a thread; 0 is never."""
    if seconds:
        threading.Thread(
            target=_beat, args=(service, seconds, health, wait), name="heartbeat", daemon=True
        ).start()


def _beat(service: str, seconds: float, health: Health, wait: Callable[[float], bool]) -> None:
    before = totals()
    while not wait(seconds):
        after = totals()
        counted = gained(before, after)
        said = ", ".join(f"{name} {count}" for name, count in counted.items()) or "nothing counted"
        waits = "".join(f", waits for {what}" for what in health.waiting())
        log.info("%s: in %.0f s %s%s", service, seconds, said, waits, extra={"counters": counted})
        before = after
