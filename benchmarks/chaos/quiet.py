"""When services are ready for the load, and when nothing is left to be done after it."""

import time

import psycopg
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from benchmarks.chaos.plan import SINKS, WORKERS
from benchmarks.chaos.services import Services
from benchmarks.chaos.watch import committed, ends
from schemas import topics
from sightline.endpoints import database_url
from sightline.errors import SightlineError
from sightline.kafka.config import client_config
from sightline.log import LIBRDKAFKA
from sightline.settings import Settings

_READY_SECONDS = 120.0
_LOOK_SECONDS = 0.5
_QUIET_SECONDS = 8.0
"""So long nothing may change: longer than a person's row takes to follow."""

_VISION = f"sightline-vision-{topics.DEFAULT_FLEET}"
_GROUPS = {
    _VISION: WORKERS["vision"], "sightline-match": 1, **{f"sightline-{sink}": 1 for sink in SINKS},
}  # fmt: skip

_STATE = """
SELECT
    (SELECT count(*) FROM motion_events WHERE NOT processed),
    (SELECT count(*) FROM stale_persons),
    (SELECT count(*) FROM stale_objects WHERE stale_at < now()),
    (SELECT coalesce(sum(next_offset), 0) FROM sink_offsets)
"""


def wait_until_ready(settings: Settings, services: Services) -> None:
    """Wait until every group has its members. Raises SightlineError when that takes too long."""
    admin = AdminClient(client_config(settings, "chaos"), logger=LIBRDKAFKA)
    until = time.monotonic() + _READY_SECONDS
    while not _joined(admin):
        if time.monotonic() > until:
            raise SightlineError(f"the services are not ready: {services.statuses}")
        time.sleep(_LOOK_SECONDS)


def _joined(admin: AdminClient) -> bool:
    for name, future in admin.describe_consumer_groups(list(_GROUPS)).items():
        try:
            group = future.result()
        except KafkaException:
            return False
        if group.state != ConsumerGroupState.STABLE or len(group.members) < _GROUPS[name]:
            return False
    return True


def wait_until_quiet(settings: Settings, seconds: float) -> None:
    """Wait until all that was published has become rows, and nothing changes any more.

    Raises SightlineError where that does not come.
    """
    admin = AdminClient(client_config(settings, "chaos"), logger=LIBRDKAFKA)
    until = time.monotonic() + seconds
    quiet_since, before = time.monotonic(), None
    while True:
        now = _standing(settings, admin)
        if now is None or now != before:
            before, quiet_since = now, time.monotonic()
        if now is not None and now[0] == 0 and time.monotonic() - quiet_since > _QUIET_SECONDS:
            return
        if time.monotonic() > until:
            raise SightlineError(f"it does not come to rest: {now}")
        time.sleep(_LOOK_SECONDS)


def _standing(settings: Settings, admin: AdminClient) -> tuple[int, ...] | None:
    """How much is open, then what must not change; None where nobody answers."""
    try:
        with psycopg.connect(database_url(settings), connect_timeout=3) as db:
            row = db.execute(_STATE).fetchone()
        matched = sum(committed(admin, "sightline-match").values())
        seen = committed(admin, _VISION)
        told = ends(admin, [topics.frames(), topics.SIGHTINGS, topics.TRACKS])
    except (psycopg.OperationalError, KafkaException):
        return None
    if row is None:
        raise AssertionError("a SELECT of aggregates gave no row")
    waiting = sum(
        max(0, end - max(0, seen.get((name, number), 0)))
        for (name, number), end in told.items()
        if name == topics.frames().name
    )
    *open_ones, written = row
    return sum(open_ones) + waiting, written, matched, sum(told.values())
