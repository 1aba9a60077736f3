"""The time of a stage that works on several items together."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sightline.runtime import metrics


@contextmanager
def stage_time(stage: str, items: int) -> Iterator[None]:
    """Observe the time of a stage for each of the items that it works on together."""
    began = time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    for _ in range(items):
        metrics.STAGE_SECONDS.labels(stage).observe(seconds / items)
