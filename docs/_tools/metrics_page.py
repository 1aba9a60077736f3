"""Generator of `docs/metrics.md` from the metrics: `make docs`."""

from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from sightline.runtime import metrics

_HEAD = """# Metrics

Made from `sightline/runtime/metrics.py` by `make docs`.

Every service process serves these under `/metrics`, on loopback, at the address that
`run/targets/` of the home has. A counter only grows while its process lives: query `rate()` and
`increase()`. A histogram has `_bucket`, `_sum` and `_count`.

Labels are few: cameras, fleets, topics, groups, tables, workers, and words of a fixed list. No
metric names a person, a track or a record.

## Several workers

Each process counts for itself, and Prometheus adds `instance`. Over workers

- counters, histograms and lag in records are **added**: `sum without (instance) (rate(...))`;
- ages and lag in seconds are those of the **worst**: `max without (instance) (...)`;
- of copies that every matcher holds (gallery, index) the **largest** is taken.

Every process serves all names, those of other services with 0: query the service too,
`sightline_gallery_people{service="match"}`.

## Queries

| question | PromQL |
|---|---|
| calls of the embedding model saved | `sum(rate(sightline_embeddings_saved_total[5m])) /\
 (sum(rate(sightline_embeddings_saved_total[5m])) + sum(rate(sightline_embeddings_total[5m])))` |
| hits of the identity cache | `sum(rate(sightline_face_detections_saved_total[5m])) /\
 (sum(rate(sightline_face_detections_saved_total[5m])) +\
 sum(rate(sightline_face_detections_total[5m])))` |
| capture to name, 95% | `histogram_quantile(0.95, sum by (le) \
(rate(sightline_capture_to_name_seconds_bucket[5m])))` |
| frames dropped | `sum by (camera, reason)\
 (increase(sightline_frames_dropped_total[1h]))` |
| lag, by group | `sum by (group, topic) (sightline_consumer_lag_records)` |
| a new kind of dead letter | `sum by (service) (sightline_dead_letters_total) -\
 sum by (service) (sightline_dead_letters_total offset 10m)` |

The last query is a difference because a counter that appears with its first dead letter has no
`increase()`. A hit of the identity cache is a person in a frame whose face is not detected,
because the track is settled; a call is saved also between two observations of a face.

## All metrics

| name | kind | unit | labels | meaning |
|---|---|---|---|---|
"""

_KINDS: dict[type[MetricWrapperBase], str] = {
    Counter: "counter",
    Gauge: "gauge",
    Histogram: "histogram",
}


_UNITS = {"_per_second": "1/s", "_seconds": "s", "_bytes": "bytes", "_ratio": "ratio, 1 is all"}


def page() -> str:
    """Return the text of `docs/metrics.md`."""
    return _HEAD + "".join(f"{row}\n" for row in _rows())


def exported_metrics() -> Iterator[tuple[str, MetricWrapperBase]]:
    """Yield every metric with its exported name."""
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            [family] = metric.describe()
            yield family.name + ("_total" if isinstance(metric, Counter) else ""), metric


def _rows() -> Iterator[str]:
    for name, metric in exported_metrics():
        [family] = metric.describe()
        labels = ", ".join(metric._labelnames)
        kind, meaning = _KINDS[type(metric)], family.documentation
        yield f"| `{name}` | {kind} | {_unit(name, meaning)} | {labels} | {meaning} |"


def _unit(name: str, meaning: str) -> str:
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "count")
    return "0 or 1" if meaning.startswith("1") else unit


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
