"""The matching stream, asked over Kafka: shots go to `faces`, answers come from `sightings`.

A shot is sent twice. The matcher says again what it has said when a shot comes a second time,
so there is an answer also where a shot changes nothing.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from api.settings import ApiSettings
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.naming import client_id
from schemas.topics import SIGHTINGS
from sightline.runtime import metrics
from sightline.runtime.clock import SystemClock
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import ConfigValue, consumer_config, producer_config
from sightline.streaming.consumer_metrics import took
from sightline.streaming.lag import OPTIONS, ConsumerLag
from sightline.streaming.messages import checked
from sightline.streaming.producer import SureProducer
from sightline.streaming.records import Out

log = logging.getLogger(__name__)

_SERVICE = "api"
_CLIENT = client_id(_SERVICE)
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 0.1

_PATIENT: dict[str, ConfigValue] = {"reconnect.backoff.ms": 1000}
"""Else a broker that is away is tried, and its absence logged, 20 times a second. Other services
end and start again; this one goes on without it."""

Told = Callable[[pb.Sighting], None]


class MatchingStream:
    """Connects with the first shot; where Kafka fails it does so again with the next."""

    def __init__(self, settings: Settings, told: Told) -> None:
        self._settings = settings
        self._told = told
        self._lock = threading.Lock()
        self._link: _Link | None = None

    def ask(self, shot: Out, observation_id: str, also: Sequence[Out]) -> "Future[pb.Sighting]":
        """Send a shot, and records that go with it; what the matcher says after it.

        Raises InfrastructureError when Kafka does not answer; the future does when it goes away.
        """
        return self._linked().ask(shot, observation_id, also)

    def tell(self, outs: Sequence[Out]) -> None:
        """Send records that nothing is answered to. Raises InfrastructureError."""
        if outs:
            self._linked().send(outs)

    def close(self, seconds: float) -> None:
        """Deliver what is under way."""
        with self._lock:
            if self._link is not None:
                self._link.close(seconds)
                self._link = None

    def _linked(self) -> "_Link":
        with self._lock:
            if self._link is not None and self._link.failure is not None:
                self._link.close(0)
                self._link = None
            if self._link is None:
                self._link = _Link(self._settings, self._told)
            return self._link


class _Link:
    """One connection, until it fails."""

    def __init__(self, settings: Settings, told: Told) -> None:
        self.failure: InfrastructureError | None = None
        self._clock = SystemClock()
        self._told = told
        self._waiting: dict[str, Future[pb.Sighting]] = {}
        self._closing = threading.Event()
        # What nobody waits for any more must not come late.
        self._producer = SureProducer(
            producer_config(settings, _CLIENT)
            | _PATIENT
            | {
                "linger.ms": 0,
                "delivery.timeout.ms": int(ApiSettings.of(settings).decision_seconds * 1000),
            }
        )
        self._consumer = _at_the_end(settings)
        self._thread = threading.Thread(target=self._run, name="sightings", daemon=True)
        self._thread.start()

    def ask(self, shot: Out, observation_id: str, also: Sequence[Out]) -> "Future[pb.Sighting]":
        answer: Future[pb.Sighting] = Future()
        self._waiting[observation_id] = answer
        answer.add_done_callback(lambda _: self._waiting.pop(observation_id, None))
        try:
            self.send([shot, shot, *also])
        except InfrastructureError:
            answer.cancel()
            raise
        if self.failure is not None:  # it may have come before we were waiting
            _fail(answer, self.failure)
        return answer

    def send(self, outs: Iterable[Out]) -> None:
        for out in outs:
            self._producer.send(out, _delivered)

    def close(self, seconds: float) -> None:
        self._closing.set()
        self._producer.poll(0)
        self._thread.join(_LOOK_SECONDS + 1.0)
        if seconds > 0:
            self._producer.flush(seconds)

    def _run(self) -> None:
        lag = ConsumerLag(self._consumer, _CLIENT, [SIGHTINGS.name], self._clock)
        try:
            while not self._closing.is_set():
                self._take(self._consumer.poll(_LOOK_SECONDS))
                lag.look()
                self._producer.poll(0)
        except (KafkaException, InfrastructureError) as error:
            log.warning("api: the matching stream is lost: %s", error)
            self.failure = InfrastructureError(str(error))
        finally:
            self._consumer.close()
            ended = self.failure or InfrastructureError("the service ends")
            for answer in list(self._waiting.values()):
                _fail(answer, ended)

    def _take(self, message: Message | None) -> None:
        for record in checked([message] if message is not None else []):
            took(_SERVICE, record, self._clock.now_us())
            try:
                sighting = decode(pb.Sighting, record.value)
            except InvalidMessageError as error:
                metrics.DEAD_LETTERS.labels(_SERVICE, error.reason).inc()
                log.warning("api: sighting %d is left out: %s", record.offset, error)
                continue
            self._told(sighting)
            answer = self._waiting.get(sighting.observation_id)
            if answer is not None:
                with suppress(InvalidStateError):  # nobody waits any more
                    answer.set_result(sighting)


def _at_the_end(settings: Settings) -> Consumer:
    """A consumer without a group that has what comes from now on."""
    config = consumer_config(settings, _CLIENT, _CLIENT) | _PATIENT | OPTIONS
    consumer = Consumer(config, logger=LIBRDKAFKA)
    try:
        topic = consumer.list_topics(SIGHTINGS.name, timeout=_ANSWER_SECONDS)
        partitions = [
            TopicPartition(SIGHTINGS.name, n) for n in topic.topics[SIGHTINGS.name].partitions
        ]
        for partition in partitions:
            _low, partition.offset = consumer.get_watermark_offsets(partition, _ANSWER_SECONDS)
        consumer.assign(partitions)
    except KafkaException as error:
        consumer.close()
        raise InfrastructureError(f"Kafka does not answer: {error}") from error
    return consumer


def _delivered(error: KafkaError | None) -> None:
    # Who waits for the answer is told by the clock.
    if error is not None:
        log.warning("api: Kafka has not taken a record: %s", error.str())


def _fail(answer: "Future[pb.Sighting]", error: InfrastructureError) -> None:
    with suppress(InvalidStateError):
        answer.set_exception(error)
