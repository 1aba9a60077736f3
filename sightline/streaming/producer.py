"""A producer that raises when a record was not delivered."""

from collections.abc import Callable, Iterable

from confluent_kafka import KafkaError, KafkaException, Message

from sightline.runtime.errors import InfrastructureError
from sightline.streaming.clients import CONFLUENT, ClientConfig, KafkaClients, ProducerClient
from sightline.streaming.records import OutputRecord

OnDelivery = Callable[[KafkaError | None], None]


def produce(
    producer: ProducerClient,
    out: OutputRecord,
    on_delivery: Callable[[KafkaError | None, Message], None],
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


class CheckedProducer:
    """Sends records, and raises at the next call when one of them was not delivered."""

    def __init__(self, config: ClientConfig, clients: KafkaClients = CONFLUENT) -> None:
        self._producer = clients.producer(config)
        self._failure: KafkaError | None = None

    @property
    def raw(self) -> ProducerClient:
        """The producer below, for transactions."""
        return self._producer

    def send(self, out: OutputRecord, on_delivery: OnDelivery | None = None) -> None:
        """Queue one record; blocks while the queue is full.

        Raises InfrastructureError when an earlier record was not delivered.
        """
        while not self.offer(out, on_delivery):
            self._producer.poll(0.1)

    def offer(self, out: OutputRecord, on_delivery: OnDelivery | None = None) -> bool:
        """Queue one record and return True, or False when the queue is full.

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

    def send_all(self, outs: Iterable[OutputRecord]) -> None:
        """Queue several records."""
        for out in outs:
            self.send(out)

    def poll(self, seconds: float = 0.0) -> None:
        """Serve delivery reports, waiting at most `seconds` for one."""
        self._producer.poll(seconds)

    def flush(self, seconds: float) -> None:
        """Wait until everything is delivered. Raises InfrastructureError when it is not."""
        undelivered = self._producer.flush(seconds)
        self._raise_failure()
        if undelivered:
            raise InfrastructureError(
                f"Kafka has not taken {undelivered} records within {seconds:.0f} s"
            )

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise InfrastructureError(f"Kafka refused a record: {self._failure.str()}")
