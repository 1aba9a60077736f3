"""Erasure of a person from the matchers' changelog.

A running matcher receives a fact, and deletes the person itself: nobody else may write the state
that it has in memory. Without a running matcher the entries are deleted here; a matcher that starts
meanwhile receives the fact as well.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException

from ops.erasure import topic_search
from ops.erasure.id_scanner import IdScanner
from ops.erasure.row_deletion import erasure_fact
from schemas.naming import client_id, match_group, parse_state_key
from schemas.topics import FACTS, GALLERY, LIVE, MATCH_STATE
from sightline.runtime.clock import SystemClock
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.settings import Settings
from sightline.streaming.admin import admin_client
from sightline.streaming.client_config import producer_config
from sightline.streaming.errors import code_of, translate
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord, Record

GROUP = match_group(LIVE)

_FORGET_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.25
_DELIVERY_TIMEOUT_SECONDS = 30.0
_NOT_RUNNING = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)

Pause = Callable[[float], None]


def erase_person(
    settings: Settings,
    scanner: IdScanner,
    person: int,
    tracks: Iterable[str],
    pause: Pause = time.sleep,
) -> int:
    """Wait until no matcher holds the person; return the number of entries deleted here.

    Raises InfrastructureError if a running matcher does not delete them in time.
    """
    deadline = time.monotonic() + _FORGET_TIMEOUT_SECONDS
    own_tracks, reported, deleted = set(tracks), set[str](), 0
    while entries := topic_search.live_records(settings, MATCH_STATE.name, scanner):
        if not _is_running(settings):
            deleted += _delete(settings, entries)
        elif unreported := own_tracks & set(map(_track_of, entries)) - reported:
            reported |= unreported
            _publish(
                settings,
                [OutputRecord(FACTS.name, *erasure_fact(person, sorted(reported)), _now_ms())],
            )
        elif time.monotonic() > deadline:
            raise InfrastructureError(
                "a matcher runs and does not forget; see its log, then run `sightline erase resume`"
            )
        else:
            pause(_POLL_SECONDS)
    if reported:
        _publish(settings, [OutputRecord(FACTS.name, *erasure_fact(person), _now_ms())])
    return deleted


def _track_of(record: Record) -> str:
    """Return the track id in the key of a state entry; other keys give no track id."""
    return parse_state_key(record.key or b"").subject


def delete_remnants(settings: Settings, scanner: IdScanner, markers: Iterable[str]) -> None:
    """Delete the remaining records of the person in `gallery` and `facts`."""
    kept_keys = [key.encode() for key in markers]
    for topic in (GALLERY, FACTS):
        _delete(settings, topic_search.live_records(settings, topic.name, scanner, keys=kept_keys))


def _is_running(settings: Settings) -> bool:
    admin = admin_client(settings, "erase")
    try:
        (future,) = admin.describe_consumer_groups([GROUP]).values()
        state: ConsumerGroupState = future.result().state
    except KafkaException as error:
        if code_of(error) == KafkaError.GROUP_ID_NOT_FOUND:
            return False  # no matcher has ever run
        raise translate(error) from error
    return state not in _NOT_RUNNING


def _delete(settings: Settings, records: list[Record]) -> int:
    """Write tombstones to the records' own partitions; return their number."""
    if records:
        now_ms = _now_ms()
        _publish(
            settings,
            [
                OutputRecord(record.topic, _key(record), None, now_ms, record.partition)
                for record in records
            ],
        )
    return len(records)


def _key(record: Record) -> str:
    return (record.key or b"").decode(errors="surrogateescape")


def _publish(settings: Settings, outs: Sequence[OutputRecord]) -> None:
    producer = CheckedProducer(producer_config(settings, client_id("erase")))
    producer.send_all(outs)
    producer.flush(_DELIVERY_TIMEOUT_SECONDS)


def _now_ms() -> int:
    return SystemClock().now_us() // 1000
