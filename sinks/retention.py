"""Retention: expired rows are deleted, and groups about to lose unread records are reported.

The broker deletes from topics, by the retention that `sightline topics apply` has set. A group that
lags behind it would lose records in silence: this service reports that, before and after.
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
from sightline.streaming.records import Partition
from sightline.streaming.topic_inspector import PartitionState, TopicInspector
from sinks.infrastructure_metrics import show_certificates, show_disks, show_topics
from sinks.retention_headroom import GroupBacklog, group_backlogs
from sinks.row_retention import expire

log = logging.getLogger(__name__)

Lag = tuple[str, str]
"""A group and a topic."""

_MS = 1000


class RetentionWatch:
    """Watches the retention headroom of every group."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._inspector = TopicInspector(settings)
        self._warned: set[Lag] = set()
        self._counted: dict[tuple[str, Partition], int] = {}
        """The offset before which losses are counted, by group and partition."""

    def check(self) -> dict[Lag, GroupBacklog]:
        """Measure, count and warn; return the unread records of each group by topic.

        Raises InfrastructureError when Kafka does not answer.
        """
        positions = self._inspector.committed_offsets()
        for group, offsets in _sink_offsets(self._settings).items():
            positions[group] = positions.get(group, {}) | offsets
        partitions = {partition for offsets in positions.values() for partition in offsets}
        held = self._inspector.partition_states(partitions)
        lags: dict[Lag, GroupBacklog] = defaultdict(GroupBacklog)
        for group, offsets in positions.items():
            limited = {part: offset for part, offset in offsets.items() if part in held}
            ages = self._ages(limited, held)
            for partition, offset in limited.items():
                counted = max(offset, self._counted.get((group, partition), 0))
                unread = group_backlogs(counted, held[partition], ages.get(partition))
                self._counted[group, partition] = max(counted, held[partition].low)
                lags[group, partition[0]] += unread
        self._report(lags)
        show_topics(self._inspector.contents())
        return dict(lags)

    def _ages(
        self, positions: Mapping[Partition, int], held: Mapping[Partition, PartitionState]
    ) -> dict[Partition, int]:
        """Return the age of the oldest unread record in ms, where retention has a time limit."""
        oldest = {
            partition: max(offset, held[partition].low)
            for partition, offset in positions.items()
            if held[partition].limit_ms > 0 and offset < held[partition].high
        }
        now_ms = self._clock.now_us() // _MS
        times = self._inspector.record_times(oldest)
        return {partition: now_ms - time_ms for partition, time_ms in times.items()}

    def _report(self, lags: Mapping[Lag, GroupBacklog]) -> None:
        metrics.set_series(
            metrics.RETENTION_USED_RATIO, {lag: unread.ratio for lag, unread in lags.items()}
        )
        for (group, topic), unread in lags.items():
            metrics.RECORDS_LOST.labels(group, topic).inc(unread.lost)
            if unread.lost:
                log.error("%s: %d records of %s were deleted unread", group, unread.lost, topic)
        warn_ratio = self._settings.retention.warn_ratio
        near = {lag for lag, unread in lags.items() if unread.ratio >= warn_ratio}
        for group, topic in sorted(near - self._warned):
            unread = lags[group, topic]
            log.warning(
                "%s: %d records of %s are not read yet, %.0f%% of what is kept:"
                " the oldest are deleted soon",
                group, unread.records, topic, 100 * unread.ratio,
            )  # fmt: skip
        self._warned = near


def _sink_offsets(settings: Settings) -> dict[str, dict[Partition, int]]:
    """Return the sinks' offsets in the database, which Kafka's own follow later or never."""
    offsets: dict[str, dict[Partition, int]] = defaultdict(dict)
    try:
        with connect(settings) as db:
            rows = db.execute("SELECT sink, topic, partition, next_offset FROM sink_offsets")
            for sink, topic, number, offset in rows:
                offsets[sink_group(sink, LIVE)][topic, number] = offset
    except (UnreachableError, psycopg.OperationalError) as error:
        # Sinks fall behind while the database is away: the watch has to go on then.
        log.warning("retention: the offsets of sinks are not known: %s", first_line(error))
    return offsets


def work(settings: Settings, stop: Stop, clock: Clock | None = None) -> None:
    """Watch and delete until `stop`, and try again later when Kafka or the database is away."""
    clock = clock or SystemClock()
    watch = RetentionWatch(settings, clock)
    due_at = clock.monotonic()
    while not stop.is_set():
        stop.beat()
        show_disks(settings)
        show_certificates(settings)
        stop.health.report(KAFKA, _succeeds(watch.check))
        if clock.monotonic() >= due_at:
            is_expired = _succeeds(lambda: expire(settings, clock, stop))
            stop.health.report(DATABASE, is_expired)
            if is_expired:
                due_at = clock.monotonic() + settings.retention.expire_seconds
        stop.health.mark_ready()
        stop.wait_idle(settings.retention.watch_seconds)


def _succeeds(task: Callable[[], object]) -> bool:
    try:
        task()
    except (InfrastructureError, psycopg.OperationalError) as error:
        log.warning("retention: %s", first_line(error))
        return False
    return True


def run(settings: Settings) -> None:
    """Run the service until a stop is requested."""
    work(settings, start_service("retention", settings))
