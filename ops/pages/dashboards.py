"""Grafana's dashboards, made from what `deploy/grafana/panels` says of them: `make docs`.

A file is a dashboard, in which a panel is a title, a sentence, a unit and its queries by legend.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

SOURCE = {"type": "prometheus", "uid": "sightline"}
"""The data source that `provisioning/datasources` names."""

_COLUMNS = 24
_WIDTHS = {"stat": 4, "timeseries": 12, "state-timeline": 24}
_HEIGHTS = {"stat": 4, "timeseries": 8, "state-timeline": 8}
_SCHEMA = 39  # of Grafana 11; newer ones bring it up to theirs


class Panel(BaseModel):
    """One picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    says: str
    unit: str
    ask: dict[str, str]
    """PromQL by legend."""

    kind: Literal["timeseries", "stat", "state-timeline"] = "timeseries"
    bad_above: float | None = None
    bad_below: float | None = None
    may_be_empty: str | None = None
    """Why there may be nothing to show; otherwise a running pipeline gives data."""


class Dashboard(BaseModel):
    """One page of panels; `choose` has queries for variables by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    panels: tuple[Panel, ...]
    choose: dict[str, str] = {}


def read(folder: Path) -> dict[str, Dashboard]:
    """The dashboards by name. Raises ValueError for a file that says something else."""
    return {
        path.stem: Dashboard.model_validate(yaml.safe_load(path.read_text()))
        for path in sorted(folder.glob("*.yml"))
    }


def as_json(name: str, dashboard: Dashboard) -> str:
    """What Grafana reads."""
    made = {
        "uid": f"sightline-{name}",
        "title": dashboard.title,
        "tags": ["sightline"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [_link()],
        "templating": {"list": [_variable(*one) for one in dashboard.choose.items()]},
        "panels": list(_panels(dashboard.panels)),
    }
    return json.dumps(made, indent=1) + "\n"


def _panels(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    """Side by side as far as they fit, then below."""
    left = top = height = 0
    for number, panel in enumerate(panels, start=1):
        width = _WIDTHS[panel.kind]
        if left + width > _COLUMNS or (left and height != _HEIGHTS[panel.kind]):
            left, top = 0, top + height
        height = _HEIGHTS[panel.kind]
        yield _panel(number, panel, {"x": left, "y": top, "w": width, "h": height})
        left += width


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _look(panel), "overrides": []},
        "options": _options(panel),
        "targets": [
            {"refId": letter, "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for letter, (legend, expr) in zip(ascii_uppercase, panel.ask.items(), strict=False)
        ],
    }  # fmt: skip


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "stat":
        # The last value, not the last that is no gap: what is gone is not shown as if it were.
        return {"reduceOptions": {"calcs": ["last"], "fields": "", "values": False}}
    return {"showValue": "never", "mergeValues": True}


def _look(panel: Panel) -> dict[str, Any]:
    look: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "state-timeline":
        look["color"] = {"mode": "thresholds"}
        look["thresholds"] = _steps("red", (1.0, "green"))
        if panel.bad_above is not None:
            look["thresholds"] = _steps("green", (panel.bad_above, "red"))
    elif panel.bad_above is not None:
        look["thresholds"] = _steps("green", (_just_over(panel.bad_above), "red"))
    elif panel.bad_below is not None:
        look["thresholds"] = _steps("red", (panel.bad_below, "green"))
    if panel.kind == "timeseries" and "thresholds" in look:
        look["custom"] = {"thresholdsStyle": {"mode": "dashed"}}
    return look


def _just_over(limit: float) -> float:
    """A step begins at its value: of counts, whatever is more than none."""
    return limit or 1e-9


def _steps(first: str, *others: tuple[float, str]) -> dict[str, Any]:
    steps = [{"value": None, "color": first}]
    return {
        "mode": "absolute",
        "steps": steps + [{"value": value, "color": color} for value, color in others],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "type": "query",
        "name": name,
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _link() -> dict[str, Any]:
    """To the other dashboards."""
    return {
        "type": "dashboards",
        "title": "Sightline",
        "tags": ["sightline"],
        "asDropdown": True,
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def main(folder: Path) -> None:
    """Write the dashboards of a folder that has `panels` in it."""
    for name, dashboard in read(folder / "panels").items():
        (folder / "dashboards" / f"{name}.json").write_text(as_json(name, dashboard))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
