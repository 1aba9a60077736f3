"""Matchers forget: what their changelog has of the person goes.

A matcher that runs is told by the facts, and deletes it itself: nobody else may write what it has
in memory. Where none runs it is deleted here; one that starts meanwhile hears of it as well.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ops.erasure import topics
from ops.erasure.id_scanner import Needles
from ops.erasure.rows import marker
from schemas.naming import match_group
from schemas.topics import FACTS, GALLERY, LIVE, MATCH_STATE
from sightline.runtime.clock import SystemClock
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import client_config, producer_config
from sightline.streaming.producer import SureProducer
from sightline.streaming.records import Out, Record

GROUP = match_group(LIVE)

_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.25
_DELIVERY_SECONDS = 30.0
_GONE = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)

Pause = Callable[[float], None]


def forget(
    settings: Settings,
    needles: Needles,
    person: int,
    tracks: Iterable[str],
    pause: Pause = time.sleep,
) -> int:
    """See that no matcher has anything of the person; how many entries were deleted here.

    Raises InfrastructureError where one that runs does not forget them in time.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    theirs, told, deleted = set(tracks), set[str](), 0
    while left := topics.live(settings, MATCH_STATE.name, needles):
        if not _is_running(settings):
            deleted += _delete(settings, left)
        elif new := theirs & set(map(_track, left)) - told:
            told |= new
            _publish(settings, [Out(FACTS.name, *marker(person, sorted(told)), _now_ms())])
        elif time.monotonic() > until:
            raise InfrastructureError(
                "a matcher runs and does not forget; see its log, then run `sightline erase` again"
            )
        else:
            pause(_LOOK_SECONDS)
    if told:
        _publish(settings, [Out(FACTS.name, *marker(person), _now_ms())])
    return deleted


def _track(record: Record) -> str:
    """The track that an entry of the state is about, if it is about one."""
    return (record.key or b"").decode(errors="replace").rpartition("|")[2]


def take_back(settings: Settings, needles: Needles, markers: Iterable[str]) -> None:
    """Delete what else the gallery and the facts have of the person."""
    kept = [key.encode() for key in markers]
    for topic in (GALLERY, FACTS):
        _delete(settings, topics.live(settings, topic.name, needles, keys=kept))


def _is_running(settings: Settings) -> bool:
    admin = AdminClient(client_config(settings, "sightline-erase"), logger=LIBRDKAFKA)
    try:
        (future,) = admin.describe_consumer_groups([GROUP]).values()
        state: ConsumerGroupState = future.result().state
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return False  # none has ever run
        raise InfrastructureError(f"Kafka: {error.args[0].str()}") from error
    return state not in _GONE


def _delete(settings: Settings, left: list[Record]) -> int:
    """Write tombstones where the records lie."""
    if left:
        now_ms = _now_ms()
        _publish(
            settings,
            [Out(one.topic, _key(one), None, now_ms, one.partition) for one in left],
        )
    return len(left)


def _key(record: Record) -> str:
    return (record.key or b"").decode(errors="surrogateescape")


def _publish(settings: Settings, outs: Sequence[Out]) -> None:
    producer = SureProducer(producer_config(settings, "sightline-erase"))
    producer.send_all(outs)
    producer.flush(_DELIVERY_SECONDS)


def _now_ms() -> int:
    return SystemClock().now_us() // 1000
