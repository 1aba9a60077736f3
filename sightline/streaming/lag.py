"""Lag of a consumer: in records, and in the seconds that its next record has waited.

The ends of partitions come with each fetch, without a request to a broker. A record's own time is
its capture time, which may be years ago for a film, and not the time since which it has waited:
each end is therefore remembered with the time at which it was first seen.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicPartition

from sightline.runtime import metrics
from sightline.runtime.clock import Clock
from sightline.streaming.clients import ClientConfig, ConsumerClient
from sightline.streaming.records import Partition, Record

LAG_CONSUMER_CONFIG: ClientConfig = {"enable.partition.eof": True}
"""Config of a consumer whose lag is shown. Without it a client's position stays before the markers
of transactions at the end of a partition: it would be one record behind for ever."""

_UPDATE_INTERVAL_SECONDS = 1.0
_NOTE_INTERVAL_SECONDS = 0.2
_MAX_ENDS = 1024
_MAX_UNASSIGNED_SECONDS = 60.0
_REQUEST_TIMEOUT_SECONDS = 1.0


class EndHistory:
    """The ends of one partition over time."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def waiting_seconds(self, position: int, end: int, now: float) -> float:
        """Return the seconds since the record at a position was written; 0 before it exists.

        A record that was there before its consumer has waited at least since the consumer came.
        """
        self.note(end, now)
        while len(self._seen) > 1 and self._seen[1][1] <= position:
            self._seen.popleft()
        if position >= end:
            return 0.0
        (before, low), *after = islice(self._seen, 2)
        if low > position or not after:
            return now - before
        # The records between two ends are taken to be written evenly.
        (later, high) = after[0]
        return now - before - (later - before) * (position - low) / (high - low)

    @property
    def noted_at(self) -> float:
        """Time of the newest note."""
        return self._seen[-1][0]

    def note(self, end: int, now: float) -> None:
        """Remember where the partition ends now."""
        if len(self._seen) > 1 and self._seen[-1][1] == self._seen[-2][1] == end:
            self._seen.pop()  # the first and the last time of an end are enough
        elif self._seen and end < self._seen[-1][1]:
            self._seen.clear()  # the topic was made anew
        self._seen.append((now, end))
        if len(self._seen) > _MAX_ENDS:
            self._seen = deque(islice(self._seen, 0, None, 2))


class PartitionPosition(NamedTuple):
    """A consumer's position in a partition, and the partition's end."""

    topic: str
    partition: int
    position: int
    end: int


class LagGauges:
    """Gauges of the lag of one consumer of a group, with the ends of its partitions over time."""

    def __init__(self, group: str, topics: Iterable[str]) -> None:
        self._group = group
        self._ends: dict[Partition, EndHistory] = {}
        self._topics = set(topics)
        self.show((), 0.0)

    def show(self, positions: Iterable[PartitionPosition], now: float) -> None:
        """Show the lag in all partitions of the consumer; `now` in seconds of any clock."""
        records = dict.fromkeys(self._topics, 0)
        seconds = dict.fromkeys(self._topics, 0.0)
        for topic, partition, position, end in positions:
            waited = self.history(topic, partition).waiting_seconds(position, end, now)
            records[topic] = records.get(topic, 0) + max(0, end - position)
            seconds[topic] = max(seconds.get(topic, 0.0), waited)
        for topic, lag in records.items():
            metrics.CONSUMER_LAG_RECORDS.labels(self._group, topic).set(lag)
            metrics.CONSUMER_LAG_SECONDS.labels(self._group, topic).set(seconds[topic])
        # A rebalance takes all partitions away and gives most of them back.
        self._ends = {
            at: history
            for at, history in self._ends.items()
            if history.noted_at >= now - _MAX_UNASSIGNED_SECONDS
        }

    def history(self, topic: str, partition: int) -> EndHistory:
        """Return the ends of a partition that were seen."""
        return self._ends.setdefault((topic, partition), EndHistory())


class ConsumerLag:
    """The lag of a librdkafka consumer with `LAG_CONSUMER_CONFIG`, for the thread that polls it.

    Both the gauges and the times that records have waited follow from when this process first saw
    that a record existed. A capture time, which is by another host's clock, is never compared with
    this host's.
    """

    def __init__(
        self, consumer: ConsumerClient, group: str, topics: Iterable[str], clock: Clock
    ) -> None:
        self._consumer = consumer
        self._gauges = LagGauges(group, topics)
        self._clock = clock
        self._note_at = 0.0
        self._show_at = 0.0
        self._done: dict[Partition, int] = {}

    def update(self) -> None:
        """Note the ends of all partitions and update the gauges; to be called before each poll.

        Ends are noted a few times a second at most, else a record that ends a long silence would
        count as written within it. The gauges change once a second at most.
        """
        now = self._clock.monotonic()
        if now < self._note_at:
            return
        self._note_at = now + _NOTE_INTERVAL_SECONDS
        # An end below 0 is not known before the first fetch.
        places = [at for at in self._places() if at.end >= 0]
        for at in places:
            self._gauges.history(at.topic, at.partition).note(at.end, now)
        if now >= self._show_at:
            self._show_at = now + _UPDATE_INTERVAL_SECONDS
            self._gauges.show(places, now)

    def with_waiting(self, records: Iterable[Record]) -> list[Record]:
        """Return records that were just read, in the order of their offsets, with their waits."""
        now = self._clock.monotonic()
        return [self._with_wait(record, now) for record in records]

    def _with_wait(self, record: Record, now: float) -> Record:
        _low, end = self._consumer.get_watermark_offsets(
            TopicPartition(*record.topic_partition), cached=True
        )
        history = self._gauges.history(*record.topic_partition)
        end = max(int(end), record.offset + 1)
        waited = history.waiting_seconds(record.offset, end, now)
        return replace(record, waited_seconds=waited, records_behind=end - record.offset - 1)

    def mark_processed(self) -> None:
        """Remember the positions: all records before them are processed."""
        self._done = {(at.topic, at.partition): at.position for at in self._places()}

    def forget_positions(self) -> None:
        """Forget the positions of partitions that were revoked."""
        self._done = {}

    def update_unassigned(self) -> None:
        """Update the gauges while nothing is assigned, from the remembered positions.

        The broker is asked for the ends.
        """
        try:
            places = [
                PartitionPosition(*at, offset, self._end_of(at))
                for at, offset in self._done.items()
            ]
        except KafkaException:
            return  # the broker is away as well, which the health reports
        self._gauges.show(places, self._clock.monotonic())

    def _places(self) -> Iterator[PartitionPosition]:
        assigned = self._consumer.assignment()
        for start, current in zip(assigned, self._consumer.position(assigned), strict=True):
            low, end = self._consumer.get_watermark_offsets(start, cached=True)
            position = current.offset if current.offset >= 0 else start.offset
            yield PartitionPosition(start.topic, start.partition, max(position, low, 0), end)

    def _end_of(self, partition: Partition) -> int:
        _low, end = self._consumer.get_watermark_offsets(
            TopicPartition(*partition), _REQUEST_TIMEOUT_SECONDS
        )
        return int(end)
