"""What is declared is what is documented, and nobody can make it grow without end."""

import re
from pathlib import Path

import pytest
from prometheus_client import Gauge, Histogram

from docs._tools.metrics_page import exported_metrics, page
from sightline.runtime import metrics
from tests.support import ROOT

BOUNDED = {
    "camera", "device", "fleet", "group", "kind", "method", "model", "name", "outcome", "pack",
    "place", "provider", "reason", "route", "service", "sink", "stage", "status", "table", "topic",
    "version", "what", "instance_name",
}  # fmt: skip
"""Labels whose values are registered, or words of the code."""


DECLARES = re.compile(
    r"^from prometheus_client import .*\b(Counter|Gauge|Histogram|Summary)\b", re.M
)


def test_the_page_is_made_from_the_code() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == page(), "run `make docs`"


def test_every_metric_is_ours_says_what_it_is_and_has_bounded_labels() -> None:
    found = dict(exported_metrics())
    assert len(found) > 50
    for name, metric in found.items():
        assert name.startswith("sightline_")
        told = re.findall("[a-z]+", metric._documentation.lower())
        assert set(told) - set(name.split("_")), f"{name} says no more than its name"
        assert set(metric._labelnames) <= BOUNDED, name


def test_metrics_are_declared_in_one_place() -> None:
    for folder in ("sightline", "producers", "processors", "sinks", "api", "ops"):
        for path in Path(ROOT, folder).rglob("*.py"):
            if path.name not in ("metrics.py", "metrics_page.py"):
                assert not DECLARES.search(path.read_text()), path


def test_a_gauge_shows_what_there_is_and_nothing_that_is_gone() -> None:
    gauge = Gauge("test_shown", "Of this test", ["one", "two"], registry=None)
    metrics.set_series(gauge, {("a", "b"): 1, ("c", "d"): 2})
    metrics.set_series(gauge, {("a", "b"): 3})
    [family] = gauge.collect()
    assert [(one.labels, one.value) for one in family.samples] == [({"one": "a", "two": "b"}, 3)]


@pytest.mark.parametrize(
    ("seconds", "observed"), [(0.3, 1), (-0.2, 1), (-60.0, 0), (3 * 365 * 86_400.0, 0)]
)
def test_ages_of_old_films_are_no_latency(seconds: float, observed: int) -> None:
    histogram = Histogram("test_age", "Of this test", registry=None)
    metrics.observe_age(histogram, seconds)
    [family] = histogram.collect()
    assert [one.value for one in family.samples if one.name == "test_age_count"] == [observed]
