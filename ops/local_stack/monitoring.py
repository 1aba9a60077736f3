"""Prometheus on loopback: it discovers the services of the home in `run/targets`."""

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

from ops.local_stack import daemons
from ops.local_stack.ports import free_port, is_free
from ops.local_stack.settings import MonitoringSettings
from sightline.runtime import service_discovery
from sightline.runtime.connection_urls import LOOPBACK, StackState
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

_START_SECONDS = 60.0  # after a power cut its log is replayed first
_STOP_SECONDS = 15.0
_QUERY_TIMEOUT_SECONDS = 30.0


_PACKAGED_CONFIG = Path(__file__).parent / "prometheus"
"""Folder of configuration and rules: links to those in `deploy`, files in a wheel."""


class Prometheus:
    """Prometheus server of one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "prometheus"
        self._config = self._folder / "prometheus.yml"
        self.log = self._folder / "prometheus.log"

    def running(self) -> list[psutil.Process]:
        """Return the server's process, or an empty list."""
        argument = f"--config.file={self._config}"
        return daemons.find(lambda command: argument in command[1:2])

    def start(self, ports: StackState, settings: Settings) -> StackState:
        """Start the server, or reload the settings of a running one; return its ports of now.

        Raises SightlineError if it is not installed or does not start.
        """
        program = prometheus_path()
        running = self.running()
        port = ports.prometheus
        if port is None or (not running and not is_free(port)):
            port = free_port(ports.used_ports)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        service_discovery.folder(self._home).mkdir(parents=True, exist_ok=True)
        self._config.write_text(yaml.safe_dump(_config(self._home, settings), sort_keys=False))
        if running:
            process = running[0]
            process.send_signal(signal.SIGHUP)
        else:
            process = daemons.spawn(self._command(program, port, settings), self.log)
        daemons.wait_until(
            lambda: _ready(port), process, _START_SECONDS, self.log, "Prometheus"
        )  # fmt: skip
        return replace(ports, prometheus=port)

    def stop(self) -> bool:
        """Stop the server; return False if it did not run."""
        running = self.running()
        daemons.stop(running, signal.SIGTERM, _STOP_SECONDS)
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


def prometheus_path() -> str:
    """Return the path of Prometheus. Raises SightlineError that says what to install.

    Sightline does not install it: Debian's package starts a Prometheus of its own.
    """
    path = shutil.which("prometheus")
    if path is None:
        raise SightlineError(
            "prometheus is missing: install it (Debian: apt-get install prometheus; its own"
            " service may stay off)"
        )
    return path


def set_monitoring(settings: Settings, enabled: bool | None) -> None:
    """Start or stop the monitoring of a home that is up; None keeps the home's choice.

    Raises SightlineError if Prometheus is not installed or does not start.
    """
    home = settings.home
    ports = StackState.load(home)
    if ports is None:
        raise SightlineError(f"nothing is set up in {home}: run `sightline up` first")
    if enabled is None and ports.prometheus is None:
        return
    if enabled is False:
        Prometheus(home).stop()
        replace(ports, prometheus=None).save(home)
    else:
        Prometheus(home).start(ports, settings).save(home)


def query_prometheus(port: int, path: str, parameters: Mapping[str, str] | None = None) -> Any:
    """Return the data of Prometheus' answer to `/api/v1/PATH`. Raises SightlineError."""
    url = f"http://{LOOPBACK}:{port}/api/v1/{path}?{urlencode(parameters or {})}"
    try:
        with urlopen(url, timeout=_QUERY_TIMEOUT_SECONDS) as answer:
            return json.load(answer)["data"]
    except (OSError, ValueError) as error:
        raise SightlineError(f"Prometheus does not answer: {error}") from error


def alerts(port: int) -> list[dict[str, Any]]:
    """Return the alerts that fire now. Raises SightlineError if Prometheus does not answer."""
    return [
        {
            "alert": alert["labels"]["alertname"],
            "severity": alert["labels"].get("severity", ""),
            "since": alert["activeAt"][:19],
            "summary": alert["annotations"].get("summary", ""),
            "help": alert["annotations"].get("runbook_url", ""),
        }
        for alert in query_prometheus(port, "alerts")["alerts"]
        if alert["state"] == "firing"
    ]


def _ready(port: int) -> bool:
    try:
        with urlopen(f"http://{LOOPBACK}:{port}/-/ready", timeout=1):
            return True
    except OSError:
        return False


def _config(home: Path, settings: Settings) -> dict[str, Any]:
    """Return Prometheus' configuration with paths, intervals and settings filled in."""
    monitoring = MonitoringSettings.of(settings)
    config: dict[str, Any] = yaml.safe_load((_PACKAGED_CONFIG / "prometheus.yml").read_text())
    interval = f"{round(1000 * monitoring.scrape_seconds)}ms"
    config["global"] |= {
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "evaluation_interval": interval,
        "external_labels": {"docs": monitoring.docs.rstrip("/")},
    }
    config["rule_files"] = [str((monitoring.rules or _PACKAGED_CONFIG / "rules") / "*.yml")]
    (scrape,) = config["scrape_configs"]
    scrape["file_sd_configs"] = [
        {"files": [str(service_discovery.folder(home) / "*.json")], "refresh_interval": interval}
    ]
    if monitoring.alertmanager:
        config["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": [monitoring.alertmanager]}]}]
        }
    return config
