"""Prometheus on loopback: it finds every service of the home by the files in `run/targets`."""

import json
import shutil
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import psutil
import yaml

from ops.local_stack import processes
from ops.local_stack.ports import free_port, is_free
from ops.local_stack.settings import MonitoringSettings
from sightline.runtime import service_discovery
from sightline.runtime.connection_urls import LOOPBACK, StackPorts
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

_START_SECONDS = 60.0  # after a power cut its log is read again first
_STOP_SECONDS = 15.0
_ASK_SECONDS = 30.0


_GIVEN = Path(__file__).parent / "prometheus"
"""Configuration and rules: links to those in `deploy`, files in a wheel."""


class Prometheus:
    """The monitoring of one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "prometheus"
        self._config = self._folder / "prometheus.yml"
        self.log = self._folder / "prometheus.log"

    def running(self) -> list[psutil.Process]:
        """Its process, or none."""
        wanted = f"--config.file={self._config}"
        return processes.find(lambda command: wanted in command[1:2])

    def start(self, ports: StackPorts, settings: Settings) -> StackPorts:
        """Start it where it does not run, else tell it the settings; the ports that it has now.

        Raises SightlineError when it is not installed or does not start.
        """
        program = installed()
        running = self.running()
        port = ports.prometheus
        if port is None or (not running and not is_free(port)):
            port = free_port(ports.taken)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        service_discovery.folder(self._home).mkdir(parents=True, exist_ok=True)
        self._config.write_text(yaml.safe_dump(_config(self._home, settings), sort_keys=False))
        if running:
            process = running[0]
            process.send_signal(signal.SIGHUP)
        else:
            process = processes.spawn(self._command(program, port, settings), self.log)
        processes.wait_until(
            lambda: _ready(port), process, _START_SECONDS, self.log, "Prometheus"
        )  # fmt: skip
        return replace(ports, prometheus=port)

    def stop(self) -> bool:
        """Stop it; False when it did not run."""
        running = self.running()
        processes.stop(running, signal.SIGTERM, _STOP_SECONDS)
        return bool(running)

    def _command(self, program: str, port: int, settings: Settings) -> list[str]:
        return [
            program,
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--storage.tsdb.retention.time={MonitoringSettings.of(settings).keep_days}d",
            f"--web.listen-address={LOOPBACK}:{port}",
            "--log.level=warn",
        ]


def installed() -> str:
    """The path of Prometheus. Raises SightlineError that says what to install.

    We do not install it ourselves: Debian's package starts a Prometheus of its own.
    """
    found = shutil.which("prometheus")
    if found is None:
        raise SightlineError(
            "prometheus is missing: install it (Debian: apt-get install prometheus; its own"
            " service may stay off)"
        )
    return found


def monitor(settings: Settings, wanted: bool | None) -> None:
    """Start or stop the monitoring of a home that is up; None leaves it as the home has it.

    Raises SightlineError when it is not installed or does not start.
    """
    home = settings.home
    ports = StackPorts.load(home)
    if ports is None:
        raise SightlineError(f"nothing is set up in {home}: run `sightline up` first")
    if wanted is None and ports.prometheus is None:
        return
    if wanted is False:
        Prometheus(home).stop()
        replace(ports, prometheus=None).save(home)
    else:
        Prometheus(home).start(ports, settings).save(home)


def ask(port: int, path: str, parameters: Mapping[str, str] | None = None) -> Any:
    """What Prometheus answers to `/api/v1/PATH`. Raises SightlineError when it does not."""
    url = f"http://{LOOPBACK}:{port}/api/v1/{path}?{urlencode(parameters or {})}"
    try:
        with urlopen(url, timeout=_ASK_SECONDS) as answer:
            return json.load(answer)["data"]
    except (OSError, ValueError) as error:
        raise SightlineError(f"Prometheus does not answer: {error}") from error


def alerts(port: int) -> list[dict[str, Any]]:
    """The alerts that fire now. Raises SightlineError when Prometheus does not answer."""
    return [
        {
            "alert": one["labels"]["alertname"],
            "severity": one["labels"].get("severity", ""),
            "since": one["activeAt"][:19],
            "summary": one["annotations"].get("summary", ""),
            "help": one["annotations"].get("runbook_url", ""),
        }
        for one in ask(port, "alerts")["alerts"]
        if one["state"] == "firing"
    ]


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://{LOOPBACK}:{port}/-/ready", timeout=1):
            return True
    except OSError:
        return False


def _config(home: Path, settings: Settings) -> dict[str, Any]:
    """The configuration with paths, times and what the settings say."""
    ours = MonitoringSettings.of(settings)
    config: dict[str, Any] = yaml.safe_load((_GIVEN / "prometheus.yml").read_text())
    every = f"{round(1000 * ours.scrape_seconds)}ms"
    config["global"] |= {
        "scrape_interval": every,
        "scrape_timeout": every,
        "evaluation_interval": every,
        "external_labels": {"docs": ours.docs.rstrip("/")},
    }
    config["rule_files"] = [str((ours.rules or _GIVEN / "rules") / "*.yml")]
    (scrape,) = config["scrape_configs"]
    scrape["file_sd_configs"] = [
        {"files": [str(service_discovery.folder(home) / "*.json")], "refresh_interval": every}
    ]
    if ours.alertmanager:
        config["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": [ours.alertmanager]}]}]
        }
    return config
