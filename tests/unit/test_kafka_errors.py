"""Translation of Kafka's errors into those that callers tell apart."""

from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException

from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.streaming.errors import code_of, is_transient, result_of, translated
from tests.memory_kafka.errors import failure


def test_a_failed_request_is_an_infrastructure_error_with_kafkas_reason() -> None:
    with pytest.raises(InfrastructureError) as raised, translated():
        raise failure(KafkaError._TRANSPORT)
    assert str(raised.value) == "Kafka: Local: Broker transport failure"
    assert isinstance(raised.value.__cause__, KafkaException)


def test_a_command_gets_an_error_of_its_own_kind_with_its_context() -> None:
    future: Future[None] = Future()
    future.set_exception(failure(KafkaError.TOPIC_ALREADY_EXISTS))
    with pytest.raises(SightlineError, match=r"^topic frames: Broker: Topic already exists$"):
        result_of(future, "topic frames", SightlineError)


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(ValueError, match="no error of Kafka"), translated():
        raise ValueError("no error of Kafka")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (failure(KafkaError.NOT_COORDINATOR, is_retriable=True), True),
        (failure(KafkaError._TIMED_OUT), True),  # which does not say so itself
        (failure(KafkaError._FENCED, is_fatal=True), False),
        (failure(KafkaError.INVALID_TXN_STATE, aborts=True), False),
    ],
)
def test_which_requests_may_be_made_again(error: KafkaException, expected: bool) -> None:
    assert is_transient(error) == expected


def test_the_code_of_an_exception() -> None:
    assert code_of(failure(KafkaError._FENCED)) == KafkaError._FENCED
