"""State of an installation: parts, cameras, services, alerts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

from ops.local_stack.camera_overload import overload_fields, skipped_ratios
from ops.local_stack.monitoring import alerts
from ops.local_stack.ports import is_listening
from ops.local_stack.process_registry import running_services
from ops.local_stack.supervisor_report import UP, supervised_processes
from sightline.runtime.connection_urls import (
    LOOPBACK,
    StackState,
    database_url,
    is_database_external,
    objects_folder,
)
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.streaming.admin import is_reachable
from sightline.streaming.client_config import kafka_access

_DATABASE = "database"

_CAMERAS = """
SELECT name AS camera, camera_id AS key, site_id AS site, fleet, status AS state,
    status_at AS since,
    status_detail AS detail
FROM cameras WHERE enabled ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class StackStatus:
    """State of an installation."""

    parts: list[dict[str, Any]]
    cameras: list[dict[str, Any]]
    services: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    """Alerts that fire now; empty without monitoring."""

    @property
    def all_up(self) -> bool:
        """True if all parts answer, and every service runs that a supervisor is to run."""
        return all(row["state"] == UP for row in (*self.parts, *self.services))

    @property
    def is_database_up(self) -> bool:
        """True if the database answers; then the list of cameras is complete."""
        return all(part["state"] == UP for part in self.parts if part["part"] == _DATABASE)


def status(settings: Settings) -> StackStatus:
    """Collect the state of all parts, cameras, services and alerts."""
    monitoring, firing = _monitoring(settings)
    ratios = skipped_ratios(settings.home)
    return StackStatus(
        parts=[*_brokers(settings), _database(settings), _objects(settings), *monitoring],
        cameras=_cameras(settings, ratios),
        services=_services(settings),
        alerts=firing,
    )


def _part(name: str, address: str, state: str, *, embedded: bool) -> dict[str, Any]:
    source = "embedded" if embedded else "given"
    return {"part": name, "address": address, "from": source, "state": state}


def _brokers(settings: Settings) -> list[dict[str, Any]]:
    """Return Kafka as one part, or a part for each node of several."""
    ports = StackState.load(settings.home)
    if settings.kafka_bootstrap_servers:
        return [_broker("kafka", settings.kafka_bootstrap_servers, settings, embedded=False)]
    if ports is None:
        return [_part("kafka", "", "not set up", embedded=True)]
    names = [f"kafka-{number}" for number in range(1, len(ports.kafka) + 1)]
    return [
        _broker(name, node.address, settings, embedded=True)
        if is_listening(node.clients)
        else _part(name, node.address, "down", embedded=True)
        for name, node in zip(names if len(names) > 1 else ["kafka"], ports.kafka, strict=True)
    ]


def _broker(name: str, address: str, settings: Settings, *, embedded: bool) -> dict[str, Any]:
    access = kafka_access(settings)
    one_node = settings.model_copy(update={"kafka_bootstrap_servers": address, "kafka": access})
    return _part(name, address, "up" if is_reachable(one_node) else "down", embedded=embedded)


def _database(settings: Settings) -> dict[str, Any]:
    embedded = not is_database_external(settings)
    if embedded and StackState.load(settings.home) is None:
        return _part(_DATABASE, "", "not set up", embedded=True)
    parts = urlsplit(database_url(settings))
    address = f"{parts.hostname}:{parts.port or 5432}{parts.path}"
    try:
        connect(settings).close()
        state = "up"
    except SightlineError as error:
        state = "empty" if "db upgrade" in str(error) else "down"
    return _part(_DATABASE, address, state, embedded=embedded)


def _objects(settings: Settings) -> dict[str, Any]:
    if settings.s3_bucket:
        address = f"s3://{settings.s3_bucket}/{settings.s3_prefix}"
        return _part("objects", address, "up", embedded=False)
    folder = objects_folder(settings)
    return _part("objects", str(folder), "up" if folder.is_dir() else "not set up", embedded=True)


def _monitoring(settings: Settings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Prometheus as a part, where the home has one, and the alerts that fire."""
    ports = StackState.load(settings.home)
    if ports is None or ports.prometheus is None:
        return [], []
    address = f"http://{LOOPBACK}:{ports.prometheus}"
    try:
        firing = alerts(ports.prometheus)
    except SightlineError:
        return [_part("prometheus", address, "down", embedded=True)], []
    return [_part("prometheus", address, "up", embedded=True)], firing


def _services(settings: Settings) -> list[dict[str, Any]]:
    """Return every process that runs, and those that a supervisor is to run and that do not."""
    failing = [process for process in supervised_processes(settings.home) if process.is_failing]
    restarting = {(process.host, process.process): process for process in failing}
    rows = []
    for process in running_services(settings):
        failure = restarting.pop((process.host, process.pid), None)
        state, detail = (failure.state, failure.detail) if failure else (UP, "")
        rows.append(_service(process.name, process.host, process.pid, state, detail))
    running = {(row["host"], row["process"]) for row in rows}
    rows += [
        _service(process.service, process.host, process.process, process.state, process.detail)
        for process in failing
        if (process.host, process.process) not in running
    ]
    return sorted(rows, key=lambda row: (row["service"], row["host"], row["process"] or 0))


def _service(name: str, host: str, pid: int | None, state: str, detail: str) -> dict[str, Any]:
    return {"service": name, "host": host, "process": pid, "state": state, "detail": detail}


def _cameras(settings: Settings, ratios: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the cameras that are not removed; none while the database is away."""
    try:
        with connect(settings) as db, db.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_CAMERAS).fetchall()
    except (SightlineError, psycopg.Error):
        return []
    keys = [row.pop("key") for row in rows]
    return [
        row | overload_fields(row["detail"], ratios.get(key))
        for row, key in zip(rows, keys, strict=True)
    ]
