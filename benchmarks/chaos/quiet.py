"""Waits until services are ready for the load, and until they are idle after it."""

import time
from contextlib import closing

import psycopg
from confluent_kafka import KafkaException

from benchmarks.chaos.plan import SINKS, WORKERS
from benchmarks.chaos.positions import PositionReader
from benchmarks.chaos.services import Services
from benchmarks.chaos.watch import VISION
from producers import frame_accounting
from schemas import topics
from schemas.naming import match_group, sink_group
from schemas.topics import LIVE
from sightline.runtime.connection_urls import database_url
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.settings import Settings

_READY_SECONDS = 120.0
_POLL_SECONDS = 0.5
_QUIET_SECONDS = 4.0
"""Time without any change: longer than a person's row takes to be updated here."""

_MATCH = match_group(LIVE)
_GROUPS = {
    VISION: WORKERS["vision"], _MATCH: 1, **{sink_group(sink, LIVE): 1 for sink in SINKS},
}  # fmt: skip

_OUTPUTS = (topics.SIGHTINGS, topics.TRACKS)

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
    deadline = time.monotonic() + _READY_SECONDS
    for group, count in _GROUPS.items():
        with closing(PositionReader(settings, group)) as reader:
            while not reader.is_settled(count):
                if time.monotonic() > deadline:
                    raise SightlineError(f"{group} is not ready: {services.statuses}")
                time.sleep(_POLL_SECONDS)


def wait_until_quiet(settings: Settings, seconds: float) -> None:
    """Wait until all published records have become rows, and nothing changes any more.

    Raises SightlineError if that takes too long.
    """
    deadline = time.monotonic() + seconds
    quiet_since, previous = time.monotonic(), None
    match = PositionReader(settings, _MATCH)
    while True:
        standing = _standing(settings, match)
        if standing is None or standing != previous:
            previous, quiet_since = standing, time.monotonic()
        is_quiet = time.monotonic() - quiet_since > _QUIET_SECONDS
        if standing is not None and standing[0] == 0 and is_quiet:
            return
        if time.monotonic() > deadline:
            raise SightlineError(f"it does not come to rest: {standing}")
        time.sleep(_POLL_SECONDS)


def _standing(settings: Settings, match: PositionReader) -> tuple[int, ...] | None:
    """Return the open work, then numbers that must not change; None without an answer."""
    try:
        with psycopg.connect(database_url(settings), connect_timeout=3) as db:
            row = db.execute(_STATE).fetchone()
        matched = sum(match.committed(topics.FACES).values())
        output_ends = match.ends(_OUTPUTS)
        accounts = frame_accounting.read_accounts(settings.home).values()
    except (psycopg.OperationalError, KafkaException, InfrastructureError):
        return None
    if len(output_ends) < sum(topic.partitions for topic in _OUTPUTS):
        return None
    if row is None:
        raise AssertionError("a SELECT of aggregates gave no row")
    delivered = sum(account.delivered for account in accounts)
    *open_counts, frames_seen, written = row
    remaining = sum(open_counts) + max(0, delivered - frames_seen)
    return remaining, written, matched, sum(output_ends.values())
