"""Sizes of partitions on the brokers' disks, which librdkafka has no request for."""

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
from sightline.streaming.records import Partition

_API_KEY = 35
_API_VERSION = 1

_PARTITIONS = Array(("partition", Int32), ("size", Int64), ("lag", Int64), ("is_future", Boolean))
_TOPICS = Array(("topic", String("utf-8")), ("partitions", _PARTITIONS))
_FOLDERS = Array(("error_code", Int16), ("folder", String("utf-8")), ("topics", _TOPICS))


class _LogDirsResponse(Response):  # type: ignore[misc]
    API_KEY = _API_KEY
    API_VERSION = _API_VERSION
    SCHEMA = Schema(("throttle_time_ms", Int32), ("folders", _FOLDERS))


class _LogDirsRequestStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = _API_KEY
    API_VERSION = _API_VERSION
    RESPONSE_TYPE = _LogDirsResponse
    SCHEMA = Schema(("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))))


class _LogDirsRequest(Request[_LogDirsRequestStruct]):  # type: ignore[misc]
    """DescribeLogDirs for all topics."""

    API_KEY = _API_KEY

    def build(self, request_struct_class: type[_LogDirsRequestStruct]) -> _LogDirsRequestStruct:
        return request_struct_class(topics=None)


def partition_bytes(settings: Settings) -> Mapping[Partition, int]:
    """Return the size of every partition in bytes, the largest where several brokers hold it.

    Raises InfrastructureError when Kafka does not answer.
    """
    try:
        return asyncio.run(_request(aiokafka_config(settings)))
    except KafkaError as error:
        raise InfrastructureError(f"Kafka does not tell its sizes: {error}") from error


async def _request(kafka: AioKafka) -> Mapping[Partition, int]:
    client = AIOKafkaClient(
        bootstrap_servers=kafka.servers, client_id=client_id("sizes"), **kafka.access
    )
    sizes: dict[Partition, int] = defaultdict(int)
    try:
        await client.bootstrap()
        for broker in client.cluster.brokers():
            answer: Any = await client.send(broker.nodeId, _LogDirsRequest())
            for _error, _folder, topics in answer.folders:
                for topic, partitions in topics:
                    for number, size, _lag, _is_future in partitions:
                        sizes[topic, number] = max(sizes[topic, number], size)
    finally:
        await client.close()
    return sizes
