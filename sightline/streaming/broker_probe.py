"""Probe of the broker by a loop that has received nothing for a while.

A consumer does not report a broker that is away: it has no records, as when there are none.
"""

from typing import Protocol

from confluent_kafka import KafkaException

from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.health import KAFKA, Health

_PROBE_AFTER_SECONDS = 5.0
_ANSWER_SECONDS = 2.0


class Client(Protocol):
    """A consumer or a producer."""

    def list_topics(self, topic: str, timeout: float) -> object:
        """Ask the broker. Raises KafkaException when it does not answer."""


class BrokerProbe:
    """Keeps the service's readiness true about Kafka; used by one loop."""

    def __init__(
        self, client: Client, topic: str, health: Health, clock: Clock | None = None
    ) -> None:
        """Probe with `client` for the metadata of `topic`, which may be any that exists."""
        self._client = client
        self._topic = topic
        self._health = health
        self._clock = clock or SystemClock()
        self._answered_at = self._clock.monotonic()

    def note_records(self, records: int) -> None:
        """Note how many records have come; after a while without any, ask the broker.

        The question takes up to 2 s where the broker is away.
        """
        now = self._clock.monotonic()
        if records:
            self._answered_at = now
            self._health.mark_available(KAFKA)
        elif now - self._answered_at >= _PROBE_AFTER_SECONDS:
            self._health.report(KAFKA, self._is_answering())
            self._answered_at = self._clock.monotonic()

    def _is_answering(self) -> bool:
        try:
            self._client.list_topics(self._topic, timeout=_ANSWER_SECONDS)
        except KafkaException:
            return False
        return True
