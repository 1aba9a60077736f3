"""Messages of the client library as plain values."""

from collections.abc import Iterable

from confluent_kafka import KafkaError, Message

from sightline.runtime.errors import InfrastructureError
from sightline.runtime.headers import Headers
from sightline.streaming.records import Record


def _headers(message: Message) -> Headers:
    headers = message.headers() or []
    return tuple(
        (name, value if isinstance(value, bytes) else (value or "").encode())
        for name, value in (headers.items() if isinstance(headers, dict) else headers)
    )


def to_record(message: Message) -> Record:
    """Return a client's message as a plain value."""
    key, value = message.key(), message.value()
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=key if isinstance(key, bytes) or key is None else key.encode(),
        value=value if isinstance(value, bytes) or value is None else value.encode(),
        timestamp_ms=message.timestamp()[1],
        headers=_headers(message),
    )


def to_records(messages: Iterable[Message]) -> list[Record]:
    """Return messages as records, without the events among them.

    Raises InfrastructureError for an error that does not pass by itself.
    """
    records = []
    for message in messages:
        error = message.error()
        if error is None:
            records.append(to_record(message))
        elif error.code() == KafkaError._PARTITION_EOF or error.retriable():
            continue
        else:
            raise InfrastructureError(f"Kafka: {error.str()}")
    return records
