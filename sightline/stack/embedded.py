"""`up` and `down`: the whole stack of a home."""

import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil

from schemas.topics import all_topics
from sightline.cli.output import progress_console
from sightline.endpoints import StackPorts, objects_folder
from sightline.errors import SightlineError
from sightline.kafka.admin import Change, apply_topics, known_fleets
from sightline.settings import Settings
from sightline.stack import processes
from sightline.stack.broker import Broker
from sightline.stack.database import Database
from sightline.stack.locks import locked
from sightline.stack.ports import first_ports
from sightline.stack.running import SUPERVISOR, running_services
from sightline.store.migrate import upgrade

log = logging.getLogger(__name__)


def up(settings: Settings) -> list[Change]:
    """Start what is not given from elsewhere, create topics, migrate; may be done again.

    Raises SightlineError with one line that says what to do.
    """
    try:
        return _up(settings)
    except OSError as error:
        raise SightlineError(
            f"the home {settings.home} cannot be written: {error.strerror or error}"
        ) from error


def _up(settings: Settings) -> list[Change]:
    home = settings.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(home / "up.lock"), progress_console.status("starting") as status:
        ports = StackPorts.load(home) or first_ports()
        if not settings.s3_bucket:
            objects_folder(settings).mkdir(mode=0o700, exist_ok=True)
        status.update("starting Kafka and PostgreSQL")
        _start(settings, ports)
        status.update("migrating the database")
        upgrade(settings)
        status.update("creating topics")
        return apply_topics(settings, all_topics(known_fleets(settings)))


def down(settings: Settings) -> list[str]:
    """Stop services, broker and database of the home; what was stopped."""
    home = settings.home
    if not home.exists():
        return []
    with locked(home / "up.lock"):
        stopped = _stop_services(settings)
        with ThreadPoolExecutor() as both:
            broker = both.submit(Broker(home).stop)
            database = both.submit(Database(home).stop)
        if broker.result():
            stopped.append("Kafka")
        if database.result():
            stopped.append("PostgreSQL")
        return stopped


def _start(settings: Settings, ports: StackPorts) -> None:
    """Start both at once; ports are remembered as soon as they are known to work."""
    home = settings.home
    ports.save(home)
    with ThreadPoolExecutor() as both:
        broker = (
            None if settings.kafka_bootstrap_servers else both.submit(Broker(home).start, ports)
        )
        database = None if settings.database_url else both.submit(Database(home).start, ports)
    if broker is not None:
        now = broker.result()
        ports = replace(ports, kafka=now.kafka, kafka_controller=now.kafka_controller)
        ports.save(home)
    if database is not None:
        ports = replace(ports, postgres=database.result().postgres)
        ports.save(home)


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
