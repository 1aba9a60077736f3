"""A periodic log line with the counts of a service, for installations without Prometheus."""

import logging
import threading
from collections.abc import Callable, Mapping

from prometheus_client import REGISTRY, CollectorRegistry

from sightline.runtime.health import Health

log = logging.getLogger(__name__)

_PREFIX = "sightline_"

Totals = dict[str, float]
"""Sums of counters over all labels, by name."""


def totals(registry: CollectorRegistry = REGISTRY) -> Totals:
    """Return the present sums of Sightline's counters."""
    return {
        family.name.removeprefix(_PREFIX): sum(
            sample.value for sample in family.samples if sample.name.endswith("_total")
        )
        for family in registry.collect()
        if family.type == "counter" and family.name.startswith(_PREFIX)
    }


def diff_totals(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, int]:
    """Return the increases between two readings; counters without an increase are left out."""
    increases = {name: round(value - before.get(name, 0.0)) for name, value in after.items()}
    return {name: count for name, count in sorted(increases.items()) if count}


def start_heartbeat(
    service: str, seconds: float, health: Health, wait: Callable[[float], bool]
) -> None:
    """Start the thread that logs the increases every `seconds` until `wait` is true; 0 is never."""
    if seconds:
        threading.Thread(
            target=_beat, args=(service, seconds, health, wait), name="heartbeat", daemon=True
        ).start()


def _beat(service: str, seconds: float, health: Health, wait: Callable[[float], bool]) -> None:
    before = totals()
    while not wait(seconds):
        after = totals()
        increases = diff_totals(before, after)
        summary = (
            ", ".join(f"{name} {count}" for name, count in increases.items()) or "nothing counted"
        )
        waits = "".join(f", waits for {dependency}" for dependency in health.unavailable())
        log.info(
            "%s: in %.0f s %s%s", service, seconds, summary, waits, extra={"counters": increases}
        )
        before = after
