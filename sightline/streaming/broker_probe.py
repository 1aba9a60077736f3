"""Whether Kafka is there, asked by a loop to which nothing has come for a while.

A consumer says nothing of a broker that is away: it has no records, as when there are none.
"""

from typing import Protocol

from confluent_kafka import KafkaException

from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.health import KAFKA, Health

_QUIET_SECONDS = 5.0
_ANSWER_SECONDS = 2.0


class Client(Protocol):
    """A consumer or a producer."""

    def list_topics(self, topic: str, timeout: float) -> object:
        """Ask the broker. Raises KafkaException when it does not answer."""
        ...


class Reached:
    """Keeps the service's readiness true about Kafka; used by one loop."""

    def __init__(
        self, client: Client, topic: str, health: Health, clock: Clock | None = None
    ) -> None:
        """`topic`: any that there is."""
        self._client = client
        self._topic = topic
        self._health = health
        self._clock = clock or SystemClock()
        self._heard = self._clock.monotonic()

    def came(self, records: int) -> None:
        """So many records have come. After a while without any the broker is asked, which takes
        up to 2 s where it is away.
        """
        now = self._clock.monotonic()
        if records:
            self._heard = now
            self._health.has(KAFKA)
        elif now - self._heard >= _QUIET_SECONDS:
            self._ask()
            self._heard = self._clock.monotonic()

    def _ask(self) -> None:
        try:
            self._client.list_topics(self._topic, timeout=_ANSWER_SECONDS)
        except KafkaException:
            self._health.waits_for(KAFKA)
        else:
            self._health.has(KAFKA)
