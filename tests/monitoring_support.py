"""What the tests of monitoring share: panels and rules as they are checked in, and Prometheus."""

import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from docs._tools.dashboards import Panel, read
from ops.local_stack.monitoring import query_prometheus
from sightline.runtime.connection_urls import StackState
from tests.support import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
RUNBOOK = ROOT / "docs" / "runbook"

_STEP_SECONDS = 5


def panels() -> list[tuple[str, Panel]]:
    """Every panel with the name of its dashboard."""
    return [
        (name, panel)
        for name, dashboard in read(GRAFANA / "panels").items()
        for panel in dashboard.panels
    ]


def rules() -> list[dict[str, Any]]:
    """Every rule: alerts and what they are made of."""
    groups = [
        group
        for path in sorted((PROMETHEUS / "rules").glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    return [rule for group in groups for rule in group["rules"]]


def alert_rules() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def as_grafana_asks(expr: str) -> str:
    """A panel's query with what Grafana puts in for its variables."""
    expr = expr.replace("$__rate_interval", "40s")  # of four scrapes, as Grafana does
    return re.sub(r'"\$[a-z]\w*"', '".*"', expr)


def without_data(home: Path, seconds: float) -> Iterator[str]:
    """The queries of panels that gave nothing at any moment of the last `seconds`."""
    ports = StackState.load(home)
    assert ports is not None and ports.prometheus is not None
    end = time.time()
    for name, panel in panels():
        for legend, expr in panel.queries.items():
            window = {"start": str(end - seconds), "end": str(end), "step": str(_STEP_SECONDS)}
            asked = {"query": as_grafana_asks(expr), **window}
            found = query_prometheus(ports.prometheus, "query_range", asked)["result"]
            values = [float(value) for series in found for _, value in series["values"]]
            if all(map(math.isnan, values)) and panel.empty_reason is None:
                yield f"{name}: {panel.title}: {legend}"


def faster(rules_folder: Path, factor: float, into: Path) -> None:
    """Our rules with every time in them, how long and of how long, divided by a factor."""

    def shorter(found: re.Match[str]) -> str:
        seconds = int(found["number"]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found["unit"]]
        return f"{found['before']}{max(1, round(1000 * seconds / factor))}ms"

    times = re.compile(r"(?P<before>\[|for: |offset )(?P<number>\d+)(?P<unit>[smhd])")
    into.mkdir()
    for path in rules_folder.glob("*.yml"):
        (into / path.name).write_text(times.sub(shorter, path.read_text()))
