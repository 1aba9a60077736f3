"""The API's connection to Kafka: crops go to `crops`, answers come from two topics.

`crop-outcomes` has vision's answer: the observation that a crop has given, or why it gave none.
`sightings` has the matching stream's decision after that observation.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from api.settings import ApiSettings
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.naming import client_id
from schemas.topics import CROP_OUTCOMES, SIGHTINGS
from sightline.runtime import metrics
from sightline.runtime.clock import SystemClock
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import (
    RARE_EMPTY_FETCHES,
    ConfigValue,
    consumer_config,
    producer_config,
)
from sightline.streaming.consumer_metrics import count_consumed
from sightline.streaming.lag import LAG_CONSUMER_CONFIG, ConsumerLag
from sightline.streaming.messages import to_records
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord

log = logging.getLogger(__name__)

_SERVICE = "api"
_CLIENT = client_id("api")
_REQUEST_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.1

_MAX_PENDING = 10_000
"""Crops that are waited for at once: more requests are refused."""

_MAX_EARLY = 1_000
"""Sightings kept for outcomes that have not come yet: the two topics have no common order."""

_TOPICS = (CROP_OUTCOMES.name, SIGHTINGS.name)

_SLOW_RECONNECT: dict[str, ConfigValue] = {"reconnect.backoff.ms": 1000}
"""Else a broker that is away is tried, and its absence logged, 20 times a second. Other services
end and start again; this one goes on without it."""


OnOutcome = Callable[[pb.CropOutcome], None]
OnSighting = Callable[[pb.Sighting], None]


class StreamDecision(NamedTuple):
    """Vision's and the matching stream's answers to a crop."""

    outcome: pb.CropOutcome
    sighting: pb.Sighting | None
    """None where the crop gave no observation."""


@dataclass(slots=True, eq=False)
class PendingDecision:
    """A crop that was sent, and its answer."""

    crop_id: str
    camera_id: str
    outcome: pb.CropOutcome | None = None
    """Vision's part of the answer, as soon as it is there."""
    decision: "Future[StreamDecision]" = field(default_factory=Future)

    def result(self) -> StreamDecision | None:
        """Return the answer; None where it has not come."""
        if self.decision.done() and not self.decision.cancelled():
            return self.decision.result()
        return None


class DecisionStream:
    """Connects with the first crop; where Kafka fails it does so again with the next."""

    def __init__(self, settings: Settings, on_outcome: OnOutcome, on_sighting: OnSighting) -> None:
        """Make the stream.

        The callbacks get every outcome and every decision, in the order in which they come, from
        the stream's thread, before the request that waits for it.
        """
        self._settings = settings
        self._callbacks = (on_outcome, on_sighting)
        self._lock = threading.Lock()
        self._link: _Link | None = None

    def send_crop(self, record: OutputRecord, crop: pb.Crop) -> PendingDecision:
        """Send a crop's record and return its answer to come, which fails when Kafka goes away.

        Raises:
            InfrastructureError: Kafka does not answer, or too many crops are waited for.
        """
        return self._connected().send_crop(record, crop)

    def send(self, records: Sequence[OutputRecord]) -> None:
        """Send records that have no answer. Raises InfrastructureError."""
        if records:
            self._connected().send(records)

    def close(self, seconds: float) -> None:
        """Deliver what is under way within so many seconds."""
        with self._lock:
            if self._link is not None:
                self._link.close(seconds)
                self._link = None

    def _connected(self) -> "_Link":
        with self._lock:
            if self._link is not None and self._link.failure is not None:
                self._link.close(0)
                self._link = None
            if self._link is None:
                self._link = _Link(self._settings, *self._callbacks)
            return self._link


class _Answers:
    """The crops that are waited for; used by the threads of requests and by the follower's."""

    def __init__(self, on_outcome: OnOutcome, on_sighting: OnSighting) -> None:
        self._on_outcome = on_outcome
        self._on_sighting = on_sighting
        self._lock = threading.Lock()
        self._by_crop: dict[str, PendingDecision] = {}
        self._by_observation: dict[str, PendingDecision] = {}
        self._early: OrderedDict[str, pb.Sighting] = OrderedDict()

    def expect(self, crop: pb.Crop) -> PendingDecision:
        pending = PendingDecision(crop.crop_id, crop.camera_id)
        with self._lock:
            if len(self._by_crop) >= _MAX_PENDING:
                raise InfrastructureError(f"{_MAX_PENDING} crops are waited for already")
            self._by_crop[crop.crop_id] = pending
        pending.decision.add_done_callback(lambda _: self._forget(pending))
        return pending

    def all(self) -> list[PendingDecision]:
        with self._lock:
            return list(self._by_crop.values())

    def take_outcome(self, outcome: pb.CropOutcome) -> None:
        self._on_outcome(outcome)
        with self._lock:
            pending = self._by_crop.get(outcome.crop_id)
            if pending is None:
                return  # another process waits for it
            pending.outcome = outcome
            sighting = self._early.pop(outcome.observation_id, None)
            if outcome.observation_id and sighting is None:
                self._by_observation[outcome.observation_id] = pending
                return
        if sighting is not None:
            self._on_sighting(sighting)  # only now its track is known
        _resolve(pending, StreamDecision(outcome, sighting))

    def take_sighting(self, sighting: pb.Sighting) -> None:
        self._on_sighting(sighting)
        with self._lock:
            pending = self._by_observation.get(sighting.observation_id)
            if pending is None:
                self._keep_early(sighting)
                return
            outcome = pending.outcome
        if outcome is not None:
            _resolve(pending, StreamDecision(outcome, sighting))

    def _keep_early(self, sighting: pb.Sighting) -> None:
        """Keep a sighting whose outcome may follow, if a crop of its camera is waited for."""
        waits = (pending.camera_id for pending in self._by_crop.values() if not pending.outcome)
        if sighting.camera_id in waits:
            self._early[sighting.observation_id] = sighting
            while len(self._early) > _MAX_EARLY:
                self._early.popitem(last=False)
        elif not self._by_crop:
            self._early.clear()

    def _forget(self, pending: PendingDecision) -> None:
        with self._lock:
            self._by_crop.pop(pending.crop_id, None)
            if pending.outcome is not None:
                self._by_observation.pop(pending.outcome.observation_id, None)


class _Link:
    """A connection, until it fails."""

    def __init__(self, settings: Settings, on_outcome: OnOutcome, on_sighting: OnSighting) -> None:
        self.failure: InfrastructureError | None = None
        self._clock = SystemClock()
        self._answers = _Answers(on_outcome, on_sighting)
        self._closing = threading.Event()
        # A crop whose request is over must not come late.
        self._producer = CheckedProducer(
            producer_config(settings, _CLIENT)
            | _SLOW_RECONNECT
            | {
                "linger.ms": 0,
                "delivery.timeout.ms": int(ApiSettings.of(settings).decision_seconds * 1000),
            }
        )
        self._consumer = _consumer_at_the_end(settings)
        self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)
        self._thread.start()

    def send_crop(self, record: OutputRecord, crop: pb.Crop) -> PendingDecision:
        pending = self._answers.expect(crop)
        try:
            self.send([record])
        except InfrastructureError:
            pending.decision.cancel()
            raise
        if self.failure is not None:  # it may have come before the crop was expected
            _fail(pending, self.failure)
        return pending

    def send(self, records: Sequence[OutputRecord]) -> None:
        for record in records:
            self._producer.send(record, _log_failure)

    def close(self, seconds: float) -> None:
        self._closing.set()
        self._producer.poll(0)
        self._thread.join(_POLL_SECONDS + 1.0)
        if seconds > 0:
            self._producer.flush(seconds)

    def _run(self) -> None:
        lag = ConsumerLag(self._consumer, _CLIENT, _TOPICS, self._clock)
        try:
            while not self._closing.is_set():
                self._take(self._consumer.poll(_POLL_SECONDS))
                lag.update()
                self._producer.poll(0)
        except (KafkaException, InfrastructureError) as error:
            log.warning("api: the matching stream is lost: %s", error)
            self.failure = InfrastructureError(str(error))
        finally:
            self._consumer.close()
            failure = self.failure or InfrastructureError("the service ends")
            for pending in self._answers.all():
                _fail(pending, failure)

    def _take(self, message: Message | None) -> None:
        for record in to_records([message] if message is not None else []):
            count_consumed(_SERVICE, record, self._clock.now_us())
            try:
                if record.topic == CROP_OUTCOMES.name:
                    self._answers.take_outcome(decode(pb.CropOutcome, record.value))
                else:
                    self._answers.take_sighting(decode(pb.Sighting, record.value))
            except InvalidMessageError as error:
                metrics.DEAD_LETTERS.labels(_SERVICE, error.reason).inc()
                log.warning(
                    "api: the record %d of %s is left out: %s", record.offset, record.topic, error
                )


def _consumer_at_the_end(settings: Settings) -> Consumer:
    """Return a consumer without a group that reads the records written from now on."""
    config = consumer_config(settings, _CLIENT, _CLIENT) | RARE_EMPTY_FETCHES
    config |= _SLOW_RECONNECT | LAG_CONSUMER_CONFIG
    consumer = Consumer(config, logger=LIBRDKAFKA)
    try:
        partitions = []
        for name in _TOPICS:
            topic = consumer.list_topics(name, timeout=_REQUEST_TIMEOUT_SECONDS).topics[name]
            partitions += [TopicPartition(name, number) for number in topic.partitions]
        for partition in partitions:
            _low, partition.offset = consumer.get_watermark_offsets(
                partition, _REQUEST_TIMEOUT_SECONDS
            )
        consumer.assign(partitions)
    except KafkaException as error:
        consumer.close()
        raise InfrastructureError(f"Kafka does not answer: {error}") from error
    return consumer


def _log_failure(error: KafkaError | None) -> None:
    # The request's own deadline tells its client.
    if error is not None:
        log.warning("api: Kafka has not taken a record: %s", error.str())


def _resolve(pending: PendingDecision, decision: StreamDecision) -> None:
    with suppress(InvalidStateError):  # the request is over
        pending.decision.set_result(decision)


def _fail(pending: PendingDecision, error: InfrastructureError) -> None:
    with suppress(InvalidStateError):
        pending.decision.set_exception(error)
