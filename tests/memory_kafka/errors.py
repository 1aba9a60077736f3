"""Errors as the client library raises them."""

from confluent_kafka import KafkaError, KafkaException


def failure(
    code: int, *, is_retriable: bool = False, is_fatal: bool = False, aborts: bool = False
) -> KafkaException:
    """Return the exception that confluent-kafka raises for an error."""
    return KafkaException(kafka_error(code, retriable=is_retriable, fatal=is_fatal, aborts=aborts))


def kafka_error(
    code: int, *, retriable: bool = False, fatal: bool = False, aborts: bool = False
) -> KafkaError:
    """Return an error of the client library."""
    return KafkaError(code, None, fatal, retriable, aborts)
