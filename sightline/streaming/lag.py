"""How far a consumer is behind: in records, and in the seconds that its next record has waited.

No broker is asked for that: what a fetch has brought along says where a partition ends. A record's
own time does not say how long it has waited, because it is the capture time, and that of a film
may be years ago: ends are remembered with when they were seen.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from sightline.runtime import metrics
from sightline.runtime.clock import Clock
from sightline.streaming.client_config import ConfigValue

OPTIONS: dict[str, ConfigValue] = {"enable.partition.eof": True}
"""For a consumer whose lag is shown. Without it a client's position stays before the markers of
transactions at the end of a partition: it would be one record behind for ever."""

_EVERY_SECONDS = 1.0
_MOST_ENDS = 1024
_ASK_SECONDS = 1.0

Partition = tuple[str, int]
"""A topic and a number in it."""


class Ends:
    """Where one partition ended, and when."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def waited(self, position: int, end: int, now: float) -> float:
        """Seconds since the record at a position was written; 0 where it is not there yet.

        One that was there when its consumer came has waited at least since then.
        """
        self._note(end, now)
        while len(self._seen) > 1 and self._seen[1][1] <= position:
            self._seen.popleft()
        if position >= end:
            return 0.0
        (before, low), *after = islice(self._seen, 2)
        if low > position or not after:
            return now - before
        # Written evenly between two looks, so far as anybody can tell.
        (later, high) = after[0]
        return now - before - (later - before) * (position - low) / (high - low)

    def _note(self, end: int, now: float) -> None:
        if len(self._seen) > 1 and self._seen[-1][1] == self._seen[-2][1] == end:
            self._seen.pop()  # the first and the last time of an end are enough
        elif self._seen and end < self._seen[-1][1]:
            self._seen.clear()  # the topic was made anew
        self._seen.append((now, end))
        if len(self._seen) > _MOST_ENDS:
            self._seen = deque(islice(self._seen, 0, None, 2))


class At(NamedTuple):
    """Where a consumer stands in a partition, and where that ends."""

    topic: str
    partition: int
    position: int
    end: int


class LagGauges:
    """Shows the lag of one consumer of a group."""

    def __init__(self, group: str, topics: Iterable[str]) -> None:
        self._group = group
        self._ends: dict[Partition, Ends] = {}
        self._topics = set(topics)
        self.show((), 0.0)

    def show(self, places: Iterable[At], now: float) -> None:
        """Show where it stands in all of its partitions; `now` in seconds of any clock."""
        ends, self._ends = self._ends, {}
        records = dict.fromkeys(self._topics, 0)
        seconds = dict.fromkeys(self._topics, 0.0)
        for topic, partition, position, end in places:
            known = self._ends[topic, partition] = ends.get((topic, partition)) or Ends()
            waited = known.waited(position, end, now)
            records[topic] = records.get(topic, 0) + max(0, end - position)
            seconds[topic] = max(seconds.get(topic, 0.0), waited)
        for topic, behind in records.items():
            metrics.CONSUMER_LAG_RECORDS.labels(self._group, topic).set(behind)
            metrics.CONSUMER_LAG_SECONDS.labels(self._group, topic).set(seconds[topic])


class ConsumerLag:
    """The lag of a librdkafka consumer with `OPTIONS`, for the thread that polls it."""

    def __init__(self, consumer: Consumer, group: str, topics: Iterable[str], clock: Clock) -> None:
        self._consumer = consumer
        self._gauges = LagGauges(group, topics)
        self._clock = clock
        self._due = 0.0
        self._done: dict[Partition, int] = {}

    def look(self) -> None:
        """Call often: it looks once a second."""
        now = self._clock.monotonic()
        if now >= self._due:
            self._due = now + _EVERY_SECONDS
            # Below 0 is an end of which no fetch has told yet.
            self._gauges.show((at for at in self._places() if at.end >= 0), now)

    def done(self) -> None:
        """All that was taken is done with."""
        self._done = {(at.topic, at.partition): at.position for at in self._places()}

    def lost(self) -> None:
        """The partitions are somebody else's."""
        self._done = {}

    def look_while_away(self) -> None:
        """Look while nothing is assigned, from what was done: the broker is asked for the ends."""
        try:
            places = [At(*at, offset, self._end_of(at)) for at, offset in self._done.items()]
        except KafkaException:
            return  # it is away as well, and others say so
        self._gauges.show(places, self._clock.monotonic())

    def _places(self) -> Iterator[At]:
        assigned = self._consumer.assignment()
        for at, taken in zip(assigned, self._consumer.position(assigned), strict=True):
            low, end = self._consumer.get_watermark_offsets(at, cached=True)
            position = taken.offset if taken.offset >= 0 else at.offset
            yield At(at.topic, at.partition, max(position, low, 0), end)

    def _end_of(self, at: Partition) -> int:
        _low, end = self._consumer.get_watermark_offsets(TopicPartition(*at), _ASK_SECONDS)
        return int(end)
