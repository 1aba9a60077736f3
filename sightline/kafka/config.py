"""librdkafka settings, said once."""

import uuid

from schemas.topics import MAX_RECORD_BYTES
from sightline.endpoints import kafka_servers
from sightline.settings import Settings

ConfigValue = str | int | float | bool

SESSION_TIMEOUT_MS = 6_000
"""After a kill -9 partitions move when this has run out, unless the worker is back before."""

_TRANSACTION_TIMEOUT_MS = 10_000
"""A dead worker's open transaction blocks its readers for at most this long."""


def client_config(settings: Settings, client_id: str) -> dict[str, ConfigValue]:
    """What every client needs: where the broker is."""
    return {
        "bootstrap.servers": kafka_servers(settings),
        "client.id": client_id,
        "broker.address.family": "v4",  # "localhost" also means ::1, where we never listen
    }


def producer_config(
    settings: Settings, client_id: str, transactional_id: str | None = None
) -> dict[str, ConfigValue]:
    """An idempotent producer, transactional where an id is given."""
    config = client_config(settings, client_id) | {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",  # as Java clients do, so that keys meet
        "message.max.bytes": MAX_RECORD_BYTES,
        "linger.ms": 5,
        "compression.type": "none",  # what is large is JPEG already
    }
    if transactional_id:
        config |= {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
        }
    return config


def worker_id(settings: Settings, group: str) -> str:
    """What a worker of a group calls itself in Kafka: the same after a restart, if it may be."""
    return f"{group}-{settings.instance or uuid.uuid4().hex[:12]}"


def member_config(settings: Settings, client_id: str, group: str) -> dict[str, ConfigValue]:
    """The consumer of a worker that shares a group's partitions with others.

    One that has a name is a static member: who comes back under it within the session's time
    has its partitions again at once, and fences whoever bore the name before. It does not leave
    the group when it ends.
    """
    config = consumer_config(settings, client_id, group)
    if settings.instance:
        config["group.instance.id"] = worker_id(settings, group)
    return config


def consumer_config(settings: Settings, client_id: str, group: str) -> dict[str, ConfigValue]:
    """A consumer that commits nothing by itself and sees committed records only."""
    return client_config(settings, client_id) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        # Spreads neighbouring partitions over workers, the same way whoever joins first.
        "partition.assignment.strategy": "roundrobin",
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": 2_000,
        "max.poll.interval.ms": 120_000,
        "fetch.message.max.bytes": MAX_RECORD_BYTES,
        "queued.max.messages.kbytes": 64 * 1024,
        "fetch.wait.max.ms": 50,
    }
