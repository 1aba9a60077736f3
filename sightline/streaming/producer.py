"""A producer whose losses cannot go unnoticed."""

from collections.abc import Callable, Iterable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sightline.runtime.errors import InfrastructureError
from sightline.runtime.log import LIBRDKAFKA
from sightline.streaming.client_config import ConfigValue
from sightline.streaming.records import Out

OnDelivery = Callable[[KafkaError | None], None]


def produce(
    producer: Producer, out: Out, on_delivery: Callable[[KafkaError | None, Message], None]
) -> bool:
    """Queue one record; return False if the producer's queue is full.

    Raises InfrastructureError when the producer refuses the record.
    """
    try:
        producer.produce(
            out.topic,
            value=out.value,
            key=out.key.encode(errors="surrogateescape"),
            partition=-1 if out.partition is None else out.partition,
            timestamp=out.timestamp_ms,
            headers=list(out.headers),
            on_delivery=on_delivery,
        )
    except BufferError:
        return False
    except KafkaException as error:
        raise InfrastructureError(f"Kafka takes no records: {error}") from error
    return True


class SureProducer:
    """Sends records and raises when one of them was not delivered."""

    def __init__(self, config: dict[str, ConfigValue]) -> None:
        self._producer = Producer(config, logger=LIBRDKAFKA)
        self._failure: KafkaError | None = None

    @property
    def raw(self) -> Producer:
        """The producer below, for transactions."""
        return self._producer

    def send(self, out: Out, on_delivery: OnDelivery | None = None) -> None:
        """Queue one record; blocks while the queue is full.

        Raises InfrastructureError when an earlier record was not delivered.
        """
        while not self.offer(out, on_delivery):
            self._producer.poll(0.1)

    def offer(self, out: Out, on_delivery: OnDelivery | None = None) -> bool:
        """Queue one record unless the queue is full; whether it was queued.

        Raises InfrastructureError when an earlier record was not delivered.
        """

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if on_delivery is not None:
                on_delivery(error)
            elif error is not None:
                self._failure = error

        self._raise_failure()
        if not produce(self._producer, out, delivered):
            return False
        self._producer.poll(0)
        return True

    def send_all(self, outs: Iterable[Out]) -> None:
        """Queue several records."""
        for out in outs:
            self.send(out)

    def poll(self, seconds: float = 0.0) -> None:
        """Serve delivery reports, waiting for at most so long for one."""
        self._producer.poll(seconds)

    def flush(self, seconds: float) -> None:
        """Wait until everything is delivered. Raises InfrastructureError when it is not."""
        left = self._producer.flush(seconds)
        self._raise_failure()
        if left:
            raise InfrastructureError(f"Kafka has not taken {left} records within {seconds:.0f} s")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise InfrastructureError(f"Kafka refused a record: {self._failure.str()}")
