"""The settings of Kafka's clients, said once: librdkafka's, and who we are for all of them."""

import ssl
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from schemas.naming import member_id, principal
from schemas.topics import MAX_RECORD_BYTES
from sightline.runtime.connection_urls import StackPorts, kafka_servers
from sightline.runtime.errors import SightlineError
from sightline.runtime.keyring import Keyring
from sightline.runtime.secrets import reveal
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import KafkaSettings, SecretsSettings

ConfigValue = str | int | float | bool

SESSION_TIMEOUT_MS = 6_000
"""After a kill -9 partitions move when this has run out, unless the worker is back before."""

_TRANSACTION_TIMEOUT_MS = 10_000
"""A dead worker's open transaction blocks its readers for at most this long."""

_SILENCE_MS = 5_000
"""A request within a transaction that a broker has not answered by then is made again, to whoever
has taken its part over. Until then nothing else can be done: it has to be less than a shutdown."""


def kafka_access(settings: Settings) -> KafkaSettings:
    """How Kafka is to be spoken to: as the settings say, or as the home's own secure one wants."""
    given = settings.kafka
    if settings.kafka_bootstrap_servers or given.security_protocol != "PLAINTEXT":
        return given
    ports = StackPorts.load(settings.home)
    if ports is None or not ports.secure:
        return given
    keyring, service = Keyring(settings.home), settings.identity
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
    """What every client needs: where the broker is, and who we are.

    Raises SightlineError when a secret or a file of it cannot be had.
    """
    return {
        "bootstrap.servers": kafka_servers(settings),
        "client.id": client_id,
        "broker.address.family": "v4",  # "localhost" also means ::1, where we never listen
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
    return config | {name: str(_there(path)) for name, path in files.items() if path}


class AioKafka(NamedTuple):
    """Where Kafka is and who we are, in the words of aiokafka."""

    servers: list[str]
    access: dict[str, Any]


def aiokafka_config(settings: Settings) -> AioKafka:
    """The same for a client of aiokafka. Raises SightlineError as `client_config` does."""
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
    context = ssl.create_default_context(cafile=access.ssl_ca and _there(access.ssl_ca))
    if access.ssl_cert:
        try:
            context.load_cert_chain(_there(access.ssl_cert), access.ssl_key)
        except (OSError, ssl.SSLError) as error:
            raise SightlineError(
                f"the certificate {access.ssl_cert} is of no use: {error}"
            ) from error
    return context


def _there(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise SightlineError(f"{path} cannot be read: {error.strerror}") from error
    return path


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
            "socket.timeout.ms": _SILENCE_MS,
        }
    return config


def worker_id(settings: Settings, group: str) -> str:
    """What a worker of a group calls itself in Kafka: the same after a restart, if it may be."""
    return member_id(group, settings.instance or uuid.uuid4().hex[:12])


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
        # A client says that a partition has ended when an answer has nothing of it, so not while
        # something comes within this time: with more, the end of a live topic is never told.
        "fetch.wait.max.ms": 50,
    }
