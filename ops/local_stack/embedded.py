"""`up` and `down` for the whole stack of a home."""

import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil

from ops.database.grants import set_passwords
from ops.local_stack import daemons
from ops.local_stack.cluster import SIZES, Cluster
from ops.local_stack.database import Database
from ops.local_stack.monitoring import Prometheus, prometheus_path, set_monitoring
from ops.local_stack.ports import first_ports
from ops.local_stack.process_registry import SUPERVISOR, running_services
from ops.rights.kafka_acls import apply_acls
from ops.rights.keyring_setup import prepare_keyring
from ops.terminal import progress_console
from sightline.runtime.connection_urls import StackState, is_database_external, objects_folder
from sightline.runtime.errors import SightlineError
from sightline.runtime.file_locks import locked
from sightline.runtime.keyring import CredentialFiles
from sightline.runtime.private_files import restrict_folder
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.fleets import list_topics
from sightline.streaming.admin import TopicChange, apply_topics

log = logging.getLogger(__name__)


def up(
    settings: Settings,
    brokers: int | None = None,
    monitoring: bool | None = None,
    *,
    secure: bool = False,
) -> list[TopicChange]:
    """Start the embedded parts of the stack, create topics, migrate; may be run again.

    Parts that the settings name elsewhere are not started. `brokers` is the number of nodes of a
    new home's Kafka, `monitoring` whether Prometheus watches the services; None keeps the home's
    choice, which is at first one node without monitoring. `secure` makes the home demand
    certificates, passwords and rights of each service from now on.

    Raises SightlineError with one line that says what to do.
    """
    try:
        return _up(settings, brokers, monitoring, secure=secure)
    except OSError as error:
        raise SightlineError(
            f"the home {settings.home} cannot be written: {error.strerror or error}"
        ) from error


def _up(
    settings: Settings, brokers: int | None, monitoring: bool | None, *, secure: bool
) -> list[TopicChange]:
    if monitoring:
        prometheus_path()
    home = settings.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if restrict_folder(home):
        log.warning("others could enter the home %s: it is its owner's alone now (0700)", home)
    with locked(home / "up.lock"), progress_console.status("starting") as status:
        ports = _ports(home, brokers)
        if secure and not ports.secure:
            ports = _with_security(settings, ports)
        if not settings.s3_bucket:
            objects_folder(settings).mkdir(mode=0o700, exist_ok=True)
        status.update("starting Kafka and PostgreSQL")
        ports = _start(settings, ports)
        status.update("migrating the database")
        from ops.database.migrate import upgrade  # noqa: PLC0415 - loads Alembic

        upgrade(settings)
        if ports.secure:
            status.update("letting the services in")
            _grant_access(settings, ports)
        status.update("creating topics")
        changes = apply_topics(settings, list_topics(settings))
        set_monitoring(settings, monitoring)
        return changes


def _ports(home: Path, brokers: int | None) -> StackState:
    if brokers is not None and brokers not in SIZES:
        raise SightlineError(f"--brokers is one of {', '.join(map(str, SIZES))}")
    ports = StackState.load(home)
    if ports is None:
        return first_ports(brokers or 1)
    if brokers not in (None, len(ports.kafka)):
        raise SightlineError(
            f"the Kafka of {home} was made with --brokers {len(ports.kafka)}: for another number"
            " set SIGHTLINE_HOME to another folder"
        )
    return ports


def _with_security(settings: Settings, ports: StackState) -> StackState:
    home = settings.home
    if Cluster(home).running() or Database(home).running():
        raise SightlineError("what runs is not secure: `sightline down`, then `up --secure`")
    if settings.kafka_bootstrap_servers or is_database_external(settings):
        raise SightlineError(
            "--secure is for the embedded Kafka and PostgreSQL: those that are given have their"
            " own rules, see docs/security.md"
        )
    return replace(ports, secure=True)


def _grant_access(settings: Settings, ports: StackState) -> None:
    """Write passwords and rights of every service to Kafka and PostgreSQL."""
    keyring = CredentialFiles(settings.home)
    apply_acls(keyring, ports)
    with connect(settings, autocommit=True) as db:
        set_passwords(db, keyring)


def down(settings: Settings) -> list[str]:
    """Stop services, broker and database of the home; return the names of stopped parts."""
    home = settings.home
    if not home.exists():
        return []
    with locked(home / "up.lock"):
        stopped = _stop_services(settings)
        with ThreadPoolExecutor() as pool:
            kafka_stop = pool.submit(Cluster(home).stop)
            database_stop = pool.submit(Database(home).stop)
        if kafka_stop.result():
            stopped.append("Kafka")
        if database_stop.result():
            stopped.append("PostgreSQL")
        if Prometheus(home).stop():
            stopped.append("Prometheus")
        return stopped


def _start(settings: Settings, ports: StackState) -> StackState:
    """Start Kafka and PostgreSQL at once; return the ports that they have now.

    Ports are saved before another home could choose them.
    """
    home = settings.home
    cluster = None if settings.kafka_bootstrap_servers else Cluster(home)
    if cluster is not None:
        ports = cluster.choose_ports(ports)
    ports.save(home)
    if ports.secure:
        prepare_keyring(CredentialFiles(home), len(ports.kafka))
    with ThreadPoolExecutor() as pool:
        brokers = None if cluster is None else pool.submit(cluster.start, ports)
        database = (
            None if is_database_external(settings) else pool.submit(Database(home).start, ports)
        )
    if database is not None:
        ports = replace(ports, postgres=database.result().postgres)
        ports.save(home)
    if brokers is not None:
        brokers.result()
    return ports


def _stop_services(settings: Settings) -> list[str]:
    """Stop the services; the supervisor first, or it would start the others again."""
    stopped = []
    running = [service for service in running_services(settings) if service.is_local]
    for group in (
        [service for service in running if service.name == SUPERVISOR],
        [service for service in running if service.name != SUPERVISOR],
    ):
        living = []
        for service in group:
            try:
                living.append(service.process)
            except psutil.NoSuchProcess:
                continue
            stopped.append(service.name)
        daemons.stop(living, signal.SIGTERM, settings.shutdown_seconds + 5)
    return stopped
