"""Generator of Grafana's dashboards from `deploy/grafana/panels`: `make docs`.

A file describes a dashboard: each panel has a title, a sentence, a unit and queries by legend.
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

CAMERA_INFO = "sightline_camera_info"
"""The metric that has key and name of every camera as labels."""

_CAMERA_KEY = "{{camera}}"

_KEY_AND_NAME = '/camera="(?<value>[^"]+)".*name="(?<text>[^"]+)"/'
"""Grafana's pattern of a variable whose values are the keys, shown by name."""

_GRID_COLUMNS = 24
_PANEL_WIDTHS = {"stat": 4, "timeseries": 12, "state-timeline": 24}
_PANEL_HEIGHTS = {"stat": 4, "timeseries": 8, "state-timeline": 8}
_SCHEMA_VERSION = 39  # Grafana 11; newer versions migrate it


class Panel(BaseModel):
    """A panel of a dashboard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    """PromQL by legend."""

    kind: Literal["timeseries", "stat", "state-timeline"] = "timeseries"
    critical_above: float | None = None
    critical_below: float | None = None
    empty_reason: str | None = None
    """Reason for an empty panel; without a reason a running pipeline must give data."""


class Dashboard(BaseModel):
    """A page of panels; `choose` has the queries of its variables by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    panels: tuple[Panel, ...]
    variables: dict[str, str] = {}


def read(folder: Path) -> dict[str, Dashboard]:
    """Return the dashboards of a folder by name. Raises ValueError for an invalid file."""
    return {
        path.stem: Dashboard.model_validate(yaml.safe_load(path.read_text()))
        for path in sorted(folder.glob("*.yml"))
    }


def as_json(name: str, dashboard: Dashboard) -> str:
    """Return the JSON that Grafana reads."""
    document = {
        "uid": f"sightline-{name}",
        "title": dashboard.title,
        "tags": ["sightline"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [_link()],
        "templating": {"list": [_variable(*variable) for variable in dashboard.variables.items()]},
        "panels": list(_panels(dashboard.panels)),
    }
    return json.dumps(document, indent=1) + "\n"


def _panels(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    """Yield panels side by side as far as they fit, then in a new row."""
    column = row = height = 0
    for number, panel in enumerate(panels, start=1):
        width = _PANEL_WIDTHS[panel.kind]
        if column + width > _GRID_COLUMNS or (column and height != _PANEL_HEIGHTS[panel.kind]):
            column, row = 0, row + height
        height = _PANEL_HEIGHTS[panel.kind]
        yield _panel(number, panel, {"x": column, "y": row, "w": width, "h": height})
        column += width


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _field_defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": [
            {"refId": letter, "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for letter, (legend, expr) in zip(
                ascii_uppercase, map(_by_camera_name, panel.queries.items()), strict=False
            )
        ],
    }  # fmt: skip


def _by_camera_name(query: tuple[str, str]) -> tuple[str, str]:
    """Return a query with its legend; cameras are shown by name instead of by key.

    The name is that of the end of the period, so that a camera that is renamed is one line; of a
    camera that nobody reads any more the key is shown.
    """
    legend, expr = query
    if legend != _CAMERA_KEY:
        return query
    names = f"max by (camera, name) ({CAMERA_INFO} @ end())"
    return "{{name}}", (
        f"(({expr}) * on (camera) group_left (name) ({names}))"
        f' or on (camera) label_replace({expr}, "name", "$1", "camera", "(.*)")'
    )


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "stat":
        # `last` shows a gap as a gap; `lastNotNull` would show a vanished series as present.
        return {"reduceOptions": {"calcs": ["last"], "fields": "", "values": False}}
    return {"showValue": "never", "mergeValues": True}


def _field_defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "state-timeline":
        defaults["color"] = {"mode": "thresholds"}
        defaults["thresholds"] = _steps("red", (1.0, "green"))
        if panel.critical_above is not None:
            defaults["thresholds"] = _steps("green", (panel.critical_above, "red"))
    elif panel.critical_above is not None:
        defaults["thresholds"] = _steps("green", (_just_over(panel.critical_above), "red"))
    elif panel.critical_below is not None:
        defaults["thresholds"] = _steps("red", (panel.critical_below, "green"))
    if panel.kind == "timeseries" and "thresholds" in defaults:
        defaults["custom"] = {"thresholdsStyle": {"mode": "dashed"}}
    return defaults


def _just_over(limit: float) -> float:
    """Return the first value above a limit: a threshold step includes its own value."""
    return limit or 1e-9


def _steps(first: str, *later: tuple[float, str]) -> dict[str, Any]:
    steps = [{"value": None, "color": first}]
    return {
        "mode": "absolute",
        "steps": steps + [{"value": value, "color": color} for value, color in later],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    shown_as = {"regex": _KEY_AND_NAME} if CAMERA_INFO in query else {}
    return shown_as | {
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
    """Return the link to the other dashboards."""
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
    """Write the dashboards of a folder with `panels` in it."""
    for name, dashboard in read(folder / "panels").items():
        (folder / "dashboards" / f"{name}.json").write_text(as_json(name, dashboard))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
