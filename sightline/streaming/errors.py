"""Kafka's errors, translated into those that callers tell apart."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from sightline.runtime.errors import InfrastructureError

T = TypeVar("T")


def kafka_error(error: KafkaException) -> KafkaError:
    """Return the error that an exception carries, with its code and properties."""
    carried: KafkaError = error.args[0]
    return carried


def code_of(error: KafkaException) -> int:
    """Return the code of an exception's error, such as `KafkaError.GROUP_ID_NOT_FOUND`."""
    return kafka_error(error).code()


def is_transient(error: KafkaException) -> bool:
    """Return whether the same request may be made again; not every timeout says so itself."""
    carried = kafka_error(error)
    return carried.retriable() or carried.code() == KafkaError._TIMED_OUT


def translate(
    error: KafkaException, context: str = "Kafka", kind: type[Exception] = InfrastructureError
) -> Exception:
    """Return an error of `kind` whose message is the context and Kafka's reason."""
    return kind(f"{context}: {kafka_error(error).str()}")


@contextmanager
def translated(
    context: str = "Kafka", kind: type[Exception] = InfrastructureError
) -> Iterator[None]:
    """Raise a KafkaException of the block as an error of `kind`; see `translate`."""
    try:
        yield
    except KafkaException as error:
        raise translate(error, context, kind) from error


def result_of(
    future: "Future[T]", context: str = "Kafka", kind: type[Exception] = InfrastructureError
) -> T:
    """Return the result of an admin client's request. Raises `kind` when it failed."""
    with translated(context, kind):
        return future.result()
