"""How many bytes the brokers hold of each partition; librdkafka does not ask for that."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Int64, Schema, String

from schemas.naming import client_id
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import AioKafka, aiokafka_config

_API = 35
_VERSION = 1

Place = tuple[str, int]
"""A topic and the number of one of its partitions."""


class _Answer(Response):  # type: ignore[misc]
    API_KEY = _API
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "folders",
            Array(
                ("error_code", Int16),
                ("folder", String("utf-8")),
                (
                    "topics",
                    Array(
                        ("topic", String("utf-8")),
                        (
                            "partitions",
                            Array(
                                ("partition", Int32),
                                ("size", Int64),
                                ("lag", Int64),
                                ("is_future", Boolean),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    )


class _QuestionStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = _API
    API_VERSION = _VERSION
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))),
    )


class _Question(Request[_QuestionStruct]):  # type: ignore[misc]
    """DescribeLogDirs for all topics."""

    API_KEY = _API

    def build(self, request_struct_class: type[_QuestionStruct]) -> _QuestionStruct:
        return request_struct_class(topics=None)


def partition_bytes(settings: Settings) -> Mapping[Place, int]:
    """The size of every partition, in bytes; the largest where several brokers hold it.

    Raises InfrastructureError when Kafka does not answer.
    """
    try:
        return asyncio.run(_ask(aiokafka_config(settings)))
    except KafkaError as error:
        raise InfrastructureError(f"Kafka does not tell its sizes: {error}") from error


async def _ask(kafka: AioKafka) -> Mapping[Place, int]:
    client = AIOKafkaClient(
        bootstrap_servers=kafka.servers, client_id=client_id("sizes"), **kafka.access
    )
    sizes: dict[Place, int] = defaultdict(int)
    try:
        await client.bootstrap()
        for broker in client.cluster.brokers():
            answer: Any = await client.send(broker.nodeId, _Question())
            for _error, _folder, topics in answer.folders:
                for topic, partitions in topics:
                    for number, size, _lag, _is_future in partitions:
                        sizes[topic, number] = max(sizes[topic, number], size)
    finally:
        await client.close()
    return sizes
