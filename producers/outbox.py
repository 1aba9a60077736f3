"""The service `outbox`: delivers to Kafka what transactions of the database want published."""

import logging
from contextlib import closing

from sightline.runtime.errors import UnreachableError, first_line
from sightline.runtime.health import DATABASE
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings
from sightline.storage.outbox import OutboxRelay

log = logging.getLogger(__name__)

_RECONNECT_SECONDS = 2.0


def run(settings: Settings) -> None:
    """Deliver until SIGTERM. A database that is away is waited for; a broker that fails ends it."""
    stop = start_service("outbox", settings)
    while not stop.is_set():
        try:
            with closing(OutboxRelay(settings)) as relay:
                relay.run(stop)
        except UnreachableError as error:
            stop.health.mark_unavailable(DATABASE)
            log.warning("outbox: waits for the database: %s", first_line(error))
            stop.wait_idle(_RECONNECT_SECONDS)
