"""A vision worker that measures nothing: `make bench-metrics` measures against it.

Usage: python -m benchmarks.unmeasured_worker

The service itself, whose metrics are taken away before it begins.
"""

from contextlib import nullcontext
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from processors.vision.service import run
from sightline.runtime import metrics
from sightline.runtime.settings import load_settings
from sightline.streaming import lag


class _Nothing:
    """A stand-in for any metric."""

    def __init__(self, *_: Any) -> None: ...

    def labels(self, *_: Any) -> "_Nothing":
        return self

    def time(self) -> nullcontext[None]:
        return nullcontext()

    def inc(self, *_: Any) -> None: ...

    set = set_function = observe = remove = inc


def main() -> None:
    """Run the vision service without metrics until stopped."""
    for name, metric in list(vars(metrics).items()):
        if isinstance(metric, MetricWrapperBase):
            setattr(metrics, name, _Nothing())
    lag.LAG_CONSUMER_CONFIG.clear()
    run(load_settings())


if __name__ == "__main__":
    main()
