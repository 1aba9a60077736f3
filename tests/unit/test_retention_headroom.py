"""How near a group is to losing records, and what settings make of topics."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.naming import of_run
from schemas.topics import (
    DAY_MS,
    FACES,
    GALLERY,
    MATCH_STATE,
    MIB,
    Topic,
    all_topics,
    frames,
    vision_state,
)
from sightline.runtime.settings.groups import RetentionSettings
from sightline.streaming.admin import with_retention
from sightline.streaming.topic_inspector import PartitionState
from sinks.retention_headroom import GroupBacklog, group_backlogs

HELD = PartitionState(low=100, high=300, size=1000, limit_bytes=2000, limit_ms=-1)


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (300, GroupBacklog(0, 0.0, 0)),
        (200, GroupBacklog(100, 0.25, 0)),
        (100, GroupBacklog(200, 0.5, 0)),
        (70, GroupBacklog(200, 0.5, 30)),  # 30 are gone
        (900, GroupBacklog(0, 0.0, 0)),  # the topic was made anew
    ],
)
def test_the_share_of_what_is_kept(position: int, expected: GroupBacklog) -> None:
    assert group_backlogs(position, HELD) == expected


def test_time_counts_where_it_is_limited_and_the_worse_of_both_is_told() -> None:
    by_time = replace(HELD, limit_bytes=-1, limit_ms=1000)
    assert group_backlogs(200, by_time, age_ms=900).ratio == pytest.approx(0.9)
    assert group_backlogs(300, by_time, age_ms=900).ratio == 0.0
    both = replace(HELD, limit_ms=1000)
    assert group_backlogs(200, both, age_ms=100).ratio == pytest.approx(0.25)
    assert group_backlogs(200, both, age_ms=400).ratio == pytest.approx(0.4)
    assert group_backlogs(200, replace(HELD, limit_bytes=-1), age_ms=10**9).ratio == 0.0


def test_partitions_add_up_to_their_worst() -> None:
    assert GroupBacklog(1, 0.5, 2) + GroupBacklog(3, 0.2, 4) == GroupBacklog(4, 0.5, 6)


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_nothing_is_lost_twice_and_an_empty_partition_divides_nothing(
    position: int, low: int, more: int
) -> None:
    held = PartitionState(low, low + more, 10 * more, 100, -1)
    first = group_backlogs(position, held)
    assert group_backlogs(max(position, low), held) == replace(first, lost=0)
    assert first.records <= more


def test_settings_say_how_every_kind_of_topic_is_kept() -> None:
    for topic in all_topics():
        assert with_retention(topic, RetentionSettings()) == topic, "the registry is the default"
    wanted = RetentionSettings(
        frames_bytes=5 * MIB, frames_days=2, faces_bytes=0, sightings_days=0.5, tracks_bytes=MIB
    )
    hall = with_retention(frames("hall"), wanted)
    assert (hall.retention_bytes, hall.retention_ms) == (5 * MIB, 2 * DAY_MS)
    assert hall.config()["segment.bytes"] == str(5 * MIB // 4)
    for_ever = with_retention(FACES, wanted)
    assert (for_ever.config()["retention.bytes"], for_ever.config()["retention.ms"]) == ("-1", "-1")
    run = with_retention(of_run(FACES, "again"), RetentionSettings(faces_bytes=7 * MIB))
    assert (run.name, run.retention_bytes) == ("faces.run-again", 7 * MIB)


@pytest.mark.parametrize("topic", [GALLERY, MATCH_STATE, vision_state(), Topic("else", "", 1)])
def test_what_is_compacted_or_of_no_kind_is_left_alone(topic: Topic) -> None:
    assert with_retention(topic, RetentionSettings(frames_bytes=MIB)) == topic
