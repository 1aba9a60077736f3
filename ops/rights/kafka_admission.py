"""Lets the services into the home's own Kafka: users with passwords, and what each may do."""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
)
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from ops.rights.registry import RIGHTS
from sightline.runtime.connection_urls import LOOPBACK, StackPorts
from sightline.runtime.errors import SightlineError
from sightline.runtime.keyring import Keyring
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.rights import ANY, CLI, Rights, user
from sightline.runtime.secrets import reveal

_SCRAM = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
_SECONDS = 30.0

_NO_MATTER: Any = None  # a filter's word for any name, which its type does not know
_ANYTHING = AclBindingFilter(
    ResourceType.ANY, _NO_MATTER, ResourcePatternType.ANY, _NO_MATTER, _NO_MATTER,
    AclOperation.ANY, AclPermissionType.ANY,
)  # fmt: skip

_CLUSTER = "kafka-cluster"
_EVERYWHERE = "*"  # from every host; listeners are on loopback


def admit(keyring: Keyring, ports: StackPorts) -> None:
    """Give every service its password and its rights, and take away whatever else was allowed.

    Done through the listener of the brokers, by the administrator's certificate: before the first
    time nobody has a password. Raises SightlineError.
    """
    pair = keyring.pair(CLI)
    admin = AdminClient(
        {
            "bootstrap.servers": ",".join(f"{LOOPBACK}:{node.nodes}" for node in ports.kafka),
            "client.id": "sightline-admission",
            "security.protocol": "SSL",
            "ssl.ca.location": str(keyring.authority),
            "ssl.certificate.location": str(pair.certificate),
            "ssl.key.location": str(pair.key),
        },
        logger=LIBRDKAFKA,
    )
    try:
        _set_passwords(admin, keyring)
        _set_rights(admin)
    except KafkaException as error:
        raise SightlineError(f"Kafka did not let the services in: {error.args[0].str()}") from error


def _set_passwords(admin: AdminClient, keyring: Keyring) -> None:
    wanted: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(
            user(service), _SCRAM, reveal(keyring.kafka_password(service)).encode()
        )
        for service in (CLI, *RIGHTS)
    ]
    _wait(admin.alter_user_scram_credentials(wanted, request_timeout=_SECONDS))


def _set_rights(admin: AdminClient) -> None:
    there = set(admin.describe_acls(_ANYTHING, request_timeout=_SECONDS).result())
    wanted = {one for service, rights in RIGHTS.items() for one in bindings(service, rights)}
    # New rights first: nobody who works is without what they keep.
    if new := wanted - there:
        _wait(admin.create_acls(list(new), request_timeout=_SECONDS))
    if old := there - wanted:
        _wait(admin.delete_acls([_exactly(one) for one in old], request_timeout=_SECONDS))


def bindings(service: str, rights: Rights) -> Iterator[AclBinding]:
    """A service's rights in Kafka's words. To read or write is to know that it is there."""
    allowed = [
        (ResourceType.TOPIC, rights.reads, (AclOperation.READ,)),
        (ResourceType.TOPIC, rights.writes, (AclOperation.WRITE,)),
        (ResourceType.TOPIC, rights.asks, (AclOperation.DESCRIBE_CONFIGS,)),
        (ResourceType.GROUP, rights.groups, (AclOperation.READ,)),
        (ResourceType.GROUP, rights.watched, (AclOperation.DESCRIBE,)),
        (
            ResourceType.TRANSACTIONAL_ID,
            rights.transactions,
            (AclOperation.WRITE, AclOperation.DESCRIBE),
        ),
    ]
    for kind, names, operations in allowed:
        for name in names:
            for operation in operations:
                yield _allow(service, kind, name, operation)
    if rights.sees_cluster:
        yield _allow(service, ResourceType.BROKER, _CLUSTER, AclOperation.DESCRIBE)


def listed() -> Iterator[dict[str, str]]:
    """All rights of all services, for the administrator of another Kafka."""
    for service, rights in RIGHTS.items():
        for one in bindings(service, rights):
            kind = ResourceType(one.restype)
            yield {
                "principal": one.principal,
                "operation": AclOperation(one.operation).name,
                "resource": "CLUSTER" if kind is ResourceType.BROKER else kind.name,
                "name": one.name,
                "pattern": ResourcePatternType(one.resource_pattern_type).name,
            }


def _allow(service: str, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    begins = name.endswith(ANY) and name != ANY
    return AclBinding(
        kind,
        name.removesuffix(ANY) if begins else name,
        ResourcePatternType.PREFIXED if begins else ResourcePatternType.LITERAL,
        f"User:{user(service)}",
        _EVERYWHERE,
        operation,
        AclPermissionType.ALLOW,
    )


def _exactly(one: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        one.restype, one.name, one.resource_pattern_type, one.principal, one.host,
        one.operation, one.permission_type,
    )  # fmt: skip


def _wait(futures: "dict[Any, Future[Any]]") -> None:
    for future in futures.values():
        future.result()
