"""Config of Kafka's clients: addresses, credentials, and librdkafka's settings."""

import ssl
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from schemas.naming import member_id, principal
from schemas.topics import MAX_RECORD_BYTES
from sightline.runtime.connection_urls import StackState, kafka_servers
from sightline.runtime.errors import SightlineError
from sightline.runtime.keyring import CredentialFiles
from sightline.runtime.secrets import reveal
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import KafkaSettings, SecretsSettings

ConfigValue = str | int | float | bool

SESSION_TIMEOUT_MS = 6_000
"""Partitions of a killed worker move after this time, unless it is back before."""

RARE_EMPTY_FETCHES: dict[str, ConfigValue] = {"fetch.wait.max.ms": 400}
"""Config of a consumer that stays. A fetch is answered at once where a record is: this is how often
it is answered without one, which twenty times a second costs the broker a tenth of a core."""

_TRANSACTION_TIMEOUT_MS = 10_000
"""A dead worker's open transaction blocks its readers for at most this long."""

_TRANSACTION_SOCKET_TIMEOUT_MS = 5_000
"""A request of a transaction that a broker has not answered by then is made again, to the broker
that has taken over. The producer is blocked until then: it has to be less than a shutdown."""


def kafka_access(settings: Settings) -> KafkaSettings:
    """Return the access of the settings, or that of the home's own secure stack."""
    access = settings.kafka
    if settings.kafka_bootstrap_servers or access.security_protocol != "PLAINTEXT":
        return access
    ports = StackState.load(settings.home)
    if ports is None or not ports.secure:
        return access
    keyring, service = CredentialFiles(settings.home), settings.principal
    pair = keyring.pair(service)
    return KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_username=principal(service),
        sasl_password=keyring.kafka_password(service),
        ssl_ca=keyring.authority,
        ssl_cert=pair.certificate,
        ssl_key=pair.key,
    )


def client_config(settings: Settings, client_id: str) -> dict[str, ConfigValue]:
    """Return the config that every client needs: addresses, id and credentials.

    Raises SightlineError when a secret or a certificate cannot be read.
    """
    return {
        "bootstrap.servers": kafka_servers(settings),
        "client.id": client_id,
        "broker.address.family": "v4",  # "localhost" also means ::1, where no broker listens
    } | _librdkafka(kafka_access(settings), settings.secrets)


def _librdkafka(access: KafkaSettings, secrets: SecretsSettings) -> dict[str, ConfigValue]:
    if access.security_protocol == "PLAINTEXT":
        return {}
    config: dict[str, ConfigValue] = {"security.protocol": access.security_protocol}
    if login := _login(access, secrets):
        config |= {
            "sasl.mechanism": access.sasl_mechanism,
            "sasl.username": login.user,
            "sasl.password": login.password,
        }
    files = {
        "ssl.ca.location": access.ssl_ca,
        "ssl.certificate.location": access.ssl_cert,
        "ssl.key.location": access.ssl_key,
    }
    return config | {name: str(_readable(path)) for name, path in files.items() if path}


class AioKafka(NamedTuple):
    """Addresses and credentials as arguments of aiokafka's clients."""

    servers: list[str]
    access: dict[str, Any]


def aiokafka_config(settings: Settings) -> AioKafka:
    """Return the config of a client of aiokafka. Raises SightlineError as `client_config` does."""
    access = kafka_access(settings)
    config: dict[str, Any] = {"security_protocol": access.security_protocol}
    if login := _login(access, settings.secrets):
        config |= {
            "sasl_mechanism": access.sasl_mechanism,
            "sasl_plain_username": login.user,
            "sasl_plain_password": login.password,
        }
    if access.security_protocol.endswith("SSL"):
        config["ssl_context"] = _context(access)
    return AioKafka(kafka_servers(settings).split(","), config)


class _Login(NamedTuple):
    user: str
    password: str


def _login(access: KafkaSettings, secrets: SecretsSettings) -> _Login | None:
    if not access.security_protocol.startswith("SASL"):
        return None
    if access.sasl_username is None or access.sasl_password is None:
        raise SightlineError("kafka.sasl_username and kafka.sasl_password are needed for SASL")
    return _Login(access.sasl_username, reveal(access.sasl_password, secrets))


def _context(access: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.ssl_ca and _readable(access.ssl_ca))
    if access.ssl_cert:
        try:
            context.load_cert_chain(_readable(access.ssl_cert), access.ssl_key)
        except (OSError, ssl.SSLError) as error:
            raise SightlineError(
                f"the certificate {access.ssl_cert} is of no use: {error}"
            ) from error
    return context


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise SightlineError(f"{path} cannot be read: {error.strerror}") from error
    return path


def producer_config(
    settings: Settings, client_id: str, transactional_id: str | None = None
) -> dict[str, ConfigValue]:
    """Return the config of an idempotent producer, transactional where an id is given."""
    config = client_config(settings, client_id) | {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",  # as Java clients do, so that keys meet
        "message.max.bytes": MAX_RECORD_BYTES,
        "linger.ms": 5,
        "compression.type": "none",  # large records are JPEG already
    }
    if transactional_id:
        config |= {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
            "socket.timeout.ms": _TRANSACTION_SOCKET_TIMEOUT_MS,
        }
    return config


def worker_id(settings: Settings, group: str) -> str:
    """Return a worker's name in Kafka, which a configured instance keeps across restarts."""
    return member_id(group, settings.instance or uuid.uuid4().hex[:12])


def member_config(settings: Settings, client_id: str, group: str) -> dict[str, ConfigValue]:
    """Return the config of a consumer that shares a group's partitions with others.

    A configured instance is a static member: a worker that returns under its name within the
    session's time has its partitions again at once, and fences the worker of that name before
    it. A static member does not leave the group when it ends.
    """
    config = consumer_config(settings, client_id, group) | RARE_EMPTY_FETCHES
    if settings.instance:
        config["group.instance.id"] = worker_id(settings, group)
    return config


def consumer_config(settings: Settings, client_id: str, group: str) -> dict[str, ConfigValue]:
    """Return the config of a consumer of committed records that commits nothing by itself.

    It soon reports the end of a partition, for readers that end there.
    """
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
        # A client reports a partition's end when an answer has no record of it, so not while one
        # comes within this time: with a longer time, the end of a live topic is never reported.
        "fetch.wait.max.ms": 50,
    }
