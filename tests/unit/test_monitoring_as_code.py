"""Dashboards, alerts and run-book agree with each other, with our metrics, and with their tools."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from docs._tools.dashboards import as_json, read
from ops.local_stack.embedded import up
from sightline.runtime import metrics
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from tests.monitoring_support import (
    GRAFANA,
    PROMETHEUS,
    RUNBOOK,
    alert_rules,
    as_grafana_asks,
    faster,
    panels,
    rules,
)

_FOREIGN = {"up", "ALERTS", "process_start_time_seconds", "process_cpu_seconds_total",
            "process_resident_memory_bytes"}  # fmt: skip


def samples() -> dict[str, set[str]]:
    """The labels of every sample that our services may give, by its name."""
    found = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            for end in ends.get(str(metric._type), [""]):
                found[metric._name + end] = {*metric._labelnames, *(["le"] * (end == "_bucket"))}
    return found


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool: deploy/install-test-tools installs it")
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_rules_and_configuration_are_as_prometheus_wants_them(
    promtool: str, tmp_path: Path
) -> None:
    run(promtool, "check", "rules", *(PROMETHEUS / "rules").glob("*.yml"))
    run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    faster(PROMETHEUS / "rules", 30, tmp_path / "rules")
    run(promtool, "check", "rules", *(tmp_path / "rules").glob("*.yml"))


@pytest.mark.slow
def test_every_alert_fires_when_it_should_and_only_then(promtool: str) -> None:
    files = list((PROMETHEUS / "tests").glob("*.yml"))
    run(promtool, "test", "rules", *files)
    cases = [
        case
        for path in files
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    names = {rule["alert"] for rule in alert_rules()}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_where_help_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert rule["annotations"]["summary"].endswith(".")
    page = re.sub(r"(?<!^)(?=[A-Z])", "-", rule["alert"]).lower() + ".md"
    assert rule["annotations"]["runbook_url"] == "{{ $externalLabels.docs }}/runbook/" + page
    text = (RUNBOOK / page).read_text()
    assert text.startswith(f"# {rule['alert']}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "What it means", "How to look", "What helps",
    ]  # fmt: skip


def test_the_run_book_has_a_page_for_each_alert_and_names_them() -> None:
    pages = {path.name for path in RUNBOOK.glob("*.md")} - {"index.md"}
    assert len(pages) == len(alert_rules())
    index = (RUNBOOK / "index.md").read_text()
    assert set(re.findall(r"\]\(([a-z-]+\.md)\)", index)) == pages


def test_a_panel_has_a_sentence_and_a_unit() -> None:
    for name, panel in panels():
        assert panel.description.endswith(".") and panel.description[0].isupper(), (
            name,
            panel.title,
        )
        assert re.fullmatch(r"none|s|bytes|percentunit|reqps|suffix: \S+", panel.unit), panel.unit
        assert panel.queries, (name, panel.title)


def test_what_is_asked_for_is_measured() -> None:
    known = samples()
    asked = [expr for _, panel in panels() for expr in panel.queries.values()]
    asked += [rule["expr"] for rule in rules()]
    asked += [
        query for one in read(GRAFANA / "panels").values() for query in one.variables.values()
    ]
    for expr in asked:
        for name, chosen in re.findall(r"(sightline_\w+)(?:\{([^}]*)\})?", expr):
            assert name in known, expr
            labels = set(re.findall(r"(\w+)\s*=", chosen)) - {"run"}
            assert labels <= known[name], expr
    everything = " ".join(map(as_grafana_asks, asked))
    used = set(re.findall(r"(?<![\w:])(\w+)(?=[{\[])", everything))
    assert used - known.keys() == _FOREIGN


def test_dashboards_are_made_from_their_description() -> None:
    dashboards = read(GRAFANA / "panels")
    assert len(dashboards) == 6
    assert {path.stem for path in (GRAFANA / "dashboards").glob("*.json")} == dashboards.keys()
    for name, dashboard in dashboards.items():
        written = (GRAFANA / "dashboards" / f"{name}.json").read_text()
        assert written == as_json(name, dashboard), "run `make docs`"


def expressions() -> list[str]:
    """What the dashboards ask Prometheus for, as they are written."""
    return [
        as_grafana_asks(target["expr"])
        for path in sorted((GRAFANA / "dashboards").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


def test_prometheus_understands_every_query(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"q{number}", "expr": expr} for number, expr in enumerate(expressions())]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    run(promtool, "check", "rules", path)


def test_a_renamed_camera_is_shown_by_its_name_and_one_without_by_its_key(
    promtool: str, tmp_path: Path
) -> None:
    (shown,) = [
        expr for expr in expressions() if "sightline_camera_up" in expr and "min by" in expr
    ]
    series = {
        'sightline_camera_up{camera="door", instance="a"}': "1x9",
        'sightline_camera_up{camera="yard", instance="a"}': "0x9",
        # Renamed at 5 min.
        'sightline_camera_info{camera="door", name="door", instance="a"}': "1x4 stale",
        'sightline_camera_info{camera="door", name="gate", instance="a"}': "_x5 1x5",
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": shown,
                "eval_time": "8m",
                "exp_samples": [
                    {"labels": '{camera="door", name="gate"}', "value": 1},
                    {"labels": '{camera="yard", name="yard"}', "value": 0},
                ],
            }
        ],
    }
    path = tmp_path / "tests.yml"
    path.write_text(yaml.safe_dump({"tests": [test]}))
    run(promtool, "test", "rules", path)


def dropped(given: Any, kept: Any, where: str = "") -> Iterator[str]:
    """What is not the same any more."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key in given:
            yield from dropped(given[key], kept.get(key, "nothing"), f"{where}.{key}")
    elif isinstance(given, list) and isinstance(kept, list):
        for number, (one, other) in enumerate(zip_longest(given, kept)):
            yield from dropped(one, other, f"{where}.{number}")
    elif given != kept:
        yield where


def test_dashboards_have_the_shape_of_grafanas_own_types() -> None:
    # They take long to load.
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    for path in (GRAFANA / "dashboards").glob("*.json"):
        given = json.loads(path.read_text())
        # A key that Grafana does not know is not there any more when its types say it again.
        again = json.loads(json.dumps(Dashboard.from_json(given), cls=JSONEncoder))
        assert list(dropped(given, again)) == []
        given["panels"][0]["options"]["unheard of"] = 1
        again = json.loads(json.dumps(Dashboard.from_json(given), cls=JSONEncoder))
        assert list(dropped(given, again)) == [".panels.0.options.unheard of"]


def test_dashboards_find_their_data_source() -> None:
    given = yaml.safe_load((GRAFANA / "provisioning/datasources/sightline.yml").read_text())
    (source,) = given["datasources"]
    for path in (GRAFANA / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            for one in (panel, *panel["targets"]):
                assert one["datasource"] == {"type": source["type"], "uid": source["uid"]}


def test_without_prometheus_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    home = tmp_path / "home"
    with pytest.raises(SightlineError, match="apt-get install prometheus"):
        up(Settings(home=home), monitoring=True)
    assert not home.exists()
