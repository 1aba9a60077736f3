"""`up` and `down`: the whole stack of a home."""

import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil

from ops.database.grants import let_in
from ops.database.migrate import upgrade
from ops.local_stack import processes
from ops.local_stack.cluster import SIZES, Cluster
from ops.local_stack.database import Database
from ops.local_stack.monitoring import Prometheus, installed, monitor
from ops.local_stack.ports import first_ports
from ops.local_stack.process_registry import SUPERVISOR, running_services
from ops.rights.kafka_admission import admit
from ops.rights.keyring_setup import prepare
from ops.terminal import progress_console
from sightline.runtime.connection_urls import StackPorts, is_database_given, objects_folder
from sightline.runtime.errors import SightlineError
from sightline.runtime.file_locks import locked
from sightline.runtime.keyring import Keyring
from sightline.runtime.private_files import close_to_others
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.fleets import known_topics
from sightline.streaming.admin import Change, apply_topics

log = logging.getLogger(__name__)


def up(
    settings: Settings,
    brokers: int | None = None,
    monitoring: bool | None = None,
    *,
    secure: bool = False,
) -> list[Change]:
    """Start what is not given from elsewhere, create topics, migrate; may be done again.

    `brokers` says how many nodes a new home's Kafka gets, `monitoring` whether Prometheus
    watches the services; None is one node and no monitoring, or what the home has. `secure`: from
    now on the home wants certificates, passwords and rights of each service.
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
) -> list[Change]:
    if monitoring:
        installed()
    home = settings.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if close_to_others(home):
        log.warning("others could enter the home %s: it is its owner's alone now (0700)", home)
    with locked(home / "up.lock"), progress_console.status("starting") as status:
        ports = _ports(home, brokers)
        if secure and not ports.secure:
            ports = _secured(settings, ports)
        if not settings.s3_bucket:
            objects_folder(settings).mkdir(mode=0o700, exist_ok=True)
        status.update("starting Kafka and PostgreSQL")
        ports = _start(settings, ports)
        status.update("migrating the database")
        upgrade(settings)
        if ports.secure:
            status.update("letting the services in")
            _let_in(settings, ports)
        status.update("creating topics")
        changes = apply_topics(settings, known_topics(settings))
        monitor(settings, monitoring)
        return changes


def _ports(home: Path, brokers: int | None) -> StackPorts:
    if brokers is not None and brokers not in SIZES:
        raise SightlineError(f"--brokers is one of {', '.join(map(str, SIZES))}")
    ports = StackPorts.load(home)
    if ports is None:
        return first_ports(brokers or 1)
    if brokers not in (None, len(ports.kafka)):
        raise SightlineError(
            f"the Kafka of {home} was made with --brokers {len(ports.kafka)}: for another number"
            " set SIGHTLINE_HOME to another folder"
        )
    return ports


def _secured(settings: Settings, ports: StackPorts) -> StackPorts:
    home = settings.home
    if Cluster(home).running() or Database(home).running():
        raise SightlineError("what runs is not secure: `sightline down`, then `up --secure`")
    if settings.kafka_bootstrap_servers or is_database_given(settings):
        raise SightlineError(
            "--secure is for the embedded Kafka and PostgreSQL: those that are given have their"
            " own rules, see docs/security.md"
        )
    return replace(ports, secure=True)


def _let_in(settings: Settings, ports: StackPorts) -> None:
    """Passwords and rights of every service, in Kafka and in PostgreSQL."""
    keyring = Keyring(settings.home)
    admit(keyring, ports)
    with connect(settings, autocommit=True) as db:
        let_in(db, keyring)


def down(settings: Settings) -> list[str]:
    """Stop services, broker and database of the home; what was stopped."""
    home = settings.home
    if not home.exists():
        return []
    with locked(home / "up.lock"):
        stopped = _stop_services(settings)
        with ThreadPoolExecutor() as both:
            broker = both.submit(Cluster(home).stop)
            database = both.submit(Database(home).stop)
        if broker.result():
            stopped.append("Kafka")
        if database.result():
            stopped.append("PostgreSQL")
        if Prometheus(home).stop():
            stopped.append("Prometheus")
        return stopped


def _start(settings: Settings, ports: StackPorts) -> StackPorts:
    """Start both at once; ports are remembered before anybody else could need them.

    The ports that they have now.
    """
    home = settings.home
    cluster = None if settings.kafka_bootstrap_servers else Cluster(home)
    if cluster is not None:
        ports = cluster.settle(ports)
    ports.save(home)
    if ports.secure:
        prepare(Keyring(home), len(ports.kafka))
    with ThreadPoolExecutor() as both:
        brokers = None if cluster is None else both.submit(cluster.start, ports)
        database = None if is_database_given(settings) else both.submit(Database(home).start, ports)
    if database is not None:
        ports = replace(ports, postgres=database.result().postgres)
        ports.save(home)
    if brokers is not None:
        brokers.result()
    return ports


def _stop_services(settings: Settings) -> list[str]:
    """The supervisor first, or it would start again what is stopped."""
    stopped = []
    running = [one for one in running_services(settings) if one.is_here]
    for wave in (
        [one for one in running if one.name == SUPERVISOR],
        [one for one in running if one.name != SUPERVISOR],
    ):
        living = []
        for one in wave:
            try:
                living.append(one.process)
            except psutil.NoSuchProcess:
                continue
            stopped.append(one.name)
        processes.stop(living, signal.SIGTERM, settings.shutdown_seconds + 5)
    return stopped
