"""When services are ready for the load, and when nothing is left to be done after it."""

import time
from contextlib import closing

import psycopg
from confluent_kafka import KafkaException

from benchmarks.chaos.plan import SINKS, WORKERS
from benchmarks.chaos.positions import Onlooker
from benchmarks.chaos.services import Services
from benchmarks.chaos.watch import VISION
from producers import ledger
from schemas import topics
from sightline.runtime.connection_urls import database_url
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.settings import Settings

_READY_SECONDS = 120.0
_LOOK_SECONDS = 0.5
_QUIET_SECONDS = 4.0
"""So long nothing may change: longer than a person's row takes to follow here."""

_MATCH = "sightline-match"
_GROUPS = {
    VISION: WORKERS["vision"], _MATCH: 1, **{f"sightline-{sink}": 1 for sink in SINKS},
}  # fmt: skip

_TOLD = (topics.SIGHTINGS, topics.TRACKS)

_STATE = """
SELECT
    (SELECT count(*) FROM motion_events WHERE NOT processed),
    (SELECT count(*) FROM stale_persons),
    (SELECT count(*) FROM stale_objects WHERE stale_at < now()),
    (SELECT coalesce(sum(frames_seen), 0) FROM motion_events),
    (SELECT coalesce(sum(next_offset), 0) FROM sink_offsets)
"""


def wait_until_ready(settings: Settings, services: Services) -> None:
    """Wait until every group has its members. Raises SightlineError when that takes too long."""
    until = time.monotonic() + _READY_SECONDS
    for group, count in _GROUPS.items():
        with closing(Onlooker(settings, group)) as onlooker:
            while not onlooker.is_settled(count):
                if time.monotonic() > until:
                    raise SightlineError(f"{group} is not ready: {services.statuses}")
                time.sleep(_LOOK_SECONDS)


def wait_until_quiet(settings: Settings, seconds: float) -> None:
    """Wait until all that was published has become rows, and nothing changes any more.

    Raises SightlineError where that does not come.
    """
    until = time.monotonic() + seconds
    quiet_since, before = time.monotonic(), None
    match = Onlooker(settings, _MATCH)
    while True:
        now = _standing(settings, match)
        if now is None or now != before:
            before, quiet_since = now, time.monotonic()
        if now is not None and now[0] == 0 and time.monotonic() - quiet_since > _QUIET_SECONDS:
            return
        if time.monotonic() > until:
            raise SightlineError(f"it does not come to rest: {now}")
        time.sleep(_LOOK_SECONDS)


def _standing(settings: Settings, match: Onlooker) -> tuple[int, ...] | None:
    """How much is open, then what must not change; None where nobody answers."""
    try:
        with psycopg.connect(database_url(settings), connect_timeout=3) as db:
            row = db.execute(_STATE).fetchone()
        matched = sum(match.committed(topics.FACES).values())
        told = match.ends(_TOLD)
        accounts = ledger.read(settings.home).values()
    except (psycopg.OperationalError, KafkaException, InfrastructureError):
        return None
    if len(told) < sum(topic.partitions for topic in _TOLD):
        return None
    if row is None:
        raise AssertionError("a SELECT of aggregates gave no row")
    delivered = sum(account.delivered for account in accounts)
    *open_ones, seen, written = row
    return sum(open_ones) + max(0, delivered - seen), written, matched, sum(told.values())
