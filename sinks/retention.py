"""Retention: rows whose time is over go, and who is about to lose records unread is told.

Topics are kept by the broker, as `sightline topics apply` has told it. A group that lags behind
what it keeps would lose records in silence: this is the service that says so, before and after.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping

import psycopg

from schemas.naming import sink_group
from schemas.topics import LIVE
from sightline.runtime import metrics
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, UnreachableError, first_line
from sightline.runtime.health import DATABASE, KAFKA
from sightline.runtime.lifecycle import Stop, start_service
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.streaming.sizes import Place
from sightline.streaming.topic_inspector import Held, Holdings
from sinks.expired import expire
from sinks.surroundings import show_certificates, show_disks, show_topics
from sinks.unread import Unread, unread

log = logging.getLogger(__name__)

Lag = tuple[str, str]
"""A group and a topic."""

_MS = 1000


class Watch:
    """Looks how near groups are to losing what they have not read."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._holdings = Holdings(settings)
        self._warned: set[Lag] = set()
        self._counted: dict[tuple[str, Place], int] = {}  # up to where losses are counted

    def look(self) -> dict[Lag, Unread]:
        """Measure, count and warn; what each group has yet to read of each topic.

        Raises InfrastructureError when Kafka does not answer.
        """
        positions = self._holdings.positions()
        for group, places in _of_sinks(self._settings).items():
            positions[group] = positions.get(group, {}) | places
        held = self._holdings.held({place for places in positions.values() for place in places})
        found: dict[Lag, Unread] = defaultdict(Unread)
        for group, places in positions.items():
            here = {place: at for place, at in places.items() if place in held}
            ages = self._ages(here, held)
            for place, at in here.items():
                counted = max(at, self._counted.get((group, place), 0))
                one = unread(counted, held[place], ages.get(place))
                self._counted[group, place] = max(counted, held[place].low)
                found[group, place[0]] += one
        self._tell(found)
        show_topics(self._holdings.kept())
        return dict(found)

    def _ages(self, positions: Mapping[Place, int], held: Mapping[Place, Held]) -> dict[Place, int]:
        """How old the oldest unread records are, in ms, where that matters."""
        asked = {
            place: max(at, held[place].low)
            for place, at in positions.items()
            if held[place].limit_ms > 0 and at < held[place].high
        }
        now_ms = self._clock.now_us() // _MS
        return {place: now_ms - at for place, at in self._holdings.times(asked).items()}

    def _tell(self, found: Mapping[Lag, Unread]) -> None:
        metrics.show(metrics.UNREAD_SHARE, {lag: one.share for lag, one in found.items()})
        for (group, topic), one in found.items():
            metrics.RECORDS_LOST.labels(group, topic).inc(one.lost)
            if one.lost:
                log.error("%s: %d records of %s were deleted unread", group, one.lost, topic)
        near = {
            lag for lag, one in found.items() if one.share >= self._settings.retention.warn_share
        }
        for group, topic in sorted(near - self._warned):
            one = found[group, topic]
            log.warning(
                "%s: %d records of %s are not read yet, %.0f%% of what is kept:"
                " the oldest are deleted soon",
                group, one.records, topic, 100 * one.share,
            )  # fmt: skip
        self._warned = near


def _of_sinks(settings: Settings) -> dict[str, dict[Place, int]]:
    """Where the database says that sinks stand: Kafka hears of it later, or never."""
    found: dict[str, dict[Place, int]] = defaultdict(dict)
    try:
        with connect(settings) as db:
            rows = db.execute("SELECT sink, topic, partition, next_offset FROM sink_offsets")
            for sink, topic, number, offset in rows:
                found[sink_group(sink, LIVE)][topic, number] = offset
    except (UnreachableError, psycopg.OperationalError) as error:
        # While it is away sinks fall behind: the very time to go on looking.
        log.warning("retention: where sinks stand is not known: %s", first_line(error))
    return found


def work(settings: Settings, stop: Stop, clock: Clock | None = None) -> None:
    """Watch and delete until `stop`; what does not answer is asked again the next time."""
    clock = clock or SystemClock()
    watch = Watch(settings, clock)
    due = clock.monotonic()
    while not stop:
        stop.beat()
        show_disks(settings)
        show_certificates(settings)
        stop.health.tell(KAFKA, _done(watch.look))
        if clock.monotonic() >= due:
            expired = _done(lambda: expire(settings, clock, stop))
            stop.health.tell(DATABASE, expired)
            if expired:
                due = clock.monotonic() + settings.retention.expire_seconds
        stop.health.ready()
        stop.idle(settings.retention.watch_seconds)


def _done(work: Callable[[], object]) -> bool:
    try:
        work()
    except (InfrastructureError, psycopg.OperationalError) as error:
        log.warning("retention: %s", first_line(error))
        return False
    return True


def run(settings: Settings) -> None:
    """Run the service until it is told to stop."""
    work(settings, start_service("retention", settings))
