"""How long the next record of a partition has been waiting, by when its end was seen where."""

from typing import cast

import pytest
from confluent_kafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from sightline.runtime import metrics
from sightline.streaming.clients import ConsumerClient
from sightline.streaming.lag import ConsumerLag, EndHistory, LagGauges, PartitionPosition
from sightline.streaming.records import Record
from tests.manual_clock import ManualClock


def test_nothing_waits_at_the_end() -> None:
    ends = EndHistory()
    assert ends.waiting_seconds(5, 5, 0.0) == 0.0
    assert ends.waiting_seconds(9, 9, 60.0) == 0.0


def test_a_record_waits_since_the_end_went_past_it() -> None:
    ends = EndHistory()
    ends.waiting_seconds(5, 5, 0.0)
    ends.waiting_seconds(5, 5, 100.0)  # nothing came in all that time
    assert ends.waiting_seconds(5, 6, 101.0) == pytest.approx(1.0)
    assert ends.waiting_seconds(5, 16, 102.0) == pytest.approx(2.0)
    assert ends.waiting_seconds(11, 16, 103.0) == pytest.approx(
        1.5
    )  # half of the ten came by 101.5
    assert ends.waiting_seconds(16, 16, 104.0) == 0.0
    assert ends.waiting_seconds(16, 17, 110.0) == pytest.approx(6.0)


def test_what_was_there_before_has_waited_since_the_consumer_came() -> None:
    ends = EndHistory()
    assert ends.waiting_seconds(0, 1000, 50.0) == 0.0
    assert ends.waiting_seconds(10, 1000, 80.0) == 30.0


def test_a_topic_made_anew_begins_anew() -> None:
    ends = EndHistory()
    ends.waiting_seconds(0, 1000, 0.0)
    assert ends.waiting_seconds(0, 3, 50.0) == 0.0
    assert ends.waiting_seconds(0, 3, 51.0) == 1.0


@pytest.mark.slow
@given(st.integers(1, 50), st.integers(2000, 4000))
def test_a_backlog_that_grows_for_long_is_remembered_in_little(rate: int, seconds: int) -> None:
    ends = EndHistory()
    ends.waiting_seconds(0, 0, 0.0)
    for now in range(1, seconds):
        waited = ends.waiting_seconds(0, now * rate, float(now))
    assert waited == pytest.approx(seconds - 1)
    assert len(ends._seen) <= 1025
    position = (seconds // 2) * rate
    assert ends.waiting_seconds(position, seconds * rate, float(seconds)) == pytest.approx(
        seconds - seconds // 2, abs=1.0
    )


def test_partitions_of_a_topic_add_up_and_go() -> None:
    def shown(topic: str) -> tuple[float, float]:
        return (
            metrics.CONSUMER_LAG_RECORDS.labels("lag-unit", topic)._value.get(),
            metrics.CONSUMER_LAG_SECONDS.labels("lag-unit", topic)._value.get(),
        )

    gauges = LagGauges("lag-unit", ["one", "two"])
    assert shown("one") == (0, 0)
    gauges.show(
        [
            PartitionPosition("one", 0, 5, 5),
            PartitionPosition("one", 1, 5, 9),
            PartitionPosition("two", 0, 0, 0),
        ],
        10.0,
    )
    gauges.show(
        [
            PartitionPosition("one", 0, 5, 6),
            PartitionPosition("one", 1, 7, 9),
            PartitionPosition("two", 0, 0, 0),
        ],
        12.0,
    )
    assert shown("one") == (3, 2)
    assert shown("two") == (0, 0)
    gauges.show([PartitionPosition("two", 0, 0, 4)], 14.0)  # somebody else has the rest now
    assert shown("one") == (0, 0)
    assert shown("two")[0] == 4


class Ends:
    """What a consumer knows of where its partitions end."""

    def __init__(self, **ends: int) -> None:
        self.ends = ends

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(topic, 0) for topic in self.ends]

    def position(self, parts: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(part.topic, part.partition, 0) for part in parts]

    def get_watermark_offsets(self, part: TopicPartition, cached: bool) -> tuple[int, int]:
        assert cached, "nobody asks a broker for every record"
        return 0, self.ends[part.topic]


def record(topic: str, offset: int) -> Record:
    return Record(topic, 0, offset, None, b"", timestamp_ms=0)


def test_a_record_that_ends_a_silence_has_not_waited_for_as_long() -> None:
    """One camera rests while others are read: its next frame has just come."""
    ends, clock = Ends(door=5, yard=0), ManualClock()
    waiting = ConsumerLag(cast(ConsumerClient, ends), "lag-unit", list(ends.ends), clock)
    for _ in range(1000):
        waiting.update()
        clock.advance(0.1)
        ends.ends["yard"] += 1
        [read] = waiting.with_waiting([record("yard", ends.ends["yard"] - 1)])
        assert read.waited_seconds < 0.5
    ends.ends["door"] = 6
    [read] = waiting.with_waiting([record("door", 5)])
    assert read.waited_seconds < 0.5


def test_records_that_pile_up_have_waited_since_they_came() -> None:
    """Ten come in a second, five are read: whatever capture times and clocks say."""
    ends, clock = Ends(door=0), ManualClock()
    waiting = ConsumerLag(cast(ConsumerClient, ends), "lag-unit", list(ends.ends), clock)
    waited = []
    for second in range(60):
        for _ in range(10):
            waiting.update()
            clock.advance(0.1)
            ends.ends["door"] += 1
        waited += waiting.with_waiting([record("door", second * 5 + n) for n in range(5)])
    assert waited[-1].waited_seconds == pytest.approx(30.0, abs=1.0)
