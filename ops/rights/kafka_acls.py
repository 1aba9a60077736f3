"""Users and ACLs of the home's own Kafka: a SCRAM password and the rights of each service."""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from ops.rights.registry import RIGHTS
from schemas.naming import client_id, principal
from sightline.runtime.connection_urls import LOOPBACK, StackState
from sightline.runtime.errors import SightlineError
from sightline.runtime.keyring import CredentialFiles
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.rights import ANY, CLI, Rights
from sightline.runtime.secrets import reveal_local
from sightline.streaming.errors import translated

_SCRAM = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
_REQUEST_TIMEOUT_SECONDS = 30.0

_ANY_NAME: Any = None  # matches any name in a filter; its type omits that
_ALL_BINDINGS = AclBindingFilter(
    ResourceType.ANY, _ANY_NAME, ResourcePatternType.ANY, _ANY_NAME, _ANY_NAME,
    AclOperation.ANY, AclPermissionType.ANY,
)  # fmt: skip

_CLUSTER = "kafka-cluster"
_ANY_HOST = "*"  # listeners are on loopback


def apply_acls(keyring: CredentialFiles, ports: StackState) -> None:
    """Set the password and the ACLs of every service, and delete all other ACLs.

    Connects to the brokers' listener with the administrator's certificate, because before the
    first call no user has a password. Raises SightlineError.
    """
    pair = keyring.pair(CLI)
    admin = AdminClient(
        {
            "bootstrap.servers": ",".join(f"{LOOPBACK}:{node.nodes}" for node in ports.kafka),
            "client.id": client_id("admission"),
            "security.protocol": "SSL",
            "ssl.ca.location": str(keyring.authority),
            "ssl.certificate.location": str(pair.certificate),
            "ssl.key.location": str(pair.key),
        },
        logger=LIBRDKAFKA,
    )
    with translated("Kafka did not let the services in", SightlineError):
        _set_passwords(admin, keyring)
        _set_rights(admin)


def _set_passwords(admin: AdminClient, keyring: CredentialFiles) -> None:
    alterations: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(
            principal(service), _SCRAM, reveal_local(keyring.kafka_password(service)).encode()
        )
        for service in (CLI, *RIGHTS)
    ]
    _wait(admin.alter_user_scram_credentials(alterations, request_timeout=_REQUEST_TIMEOUT_SECONDS))


def _set_rights(admin: AdminClient) -> None:
    present = set(
        admin.describe_acls(_ALL_BINDINGS, request_timeout=_REQUEST_TIMEOUT_SECONDS).result()
    )
    required = {
        binding for service, rights in RIGHTS.items() for binding in acl_bindings(service, rights)
    }
    # New rights first: a running service is never without the rights that it keeps.
    if missing := required - present:
        _wait(admin.create_acls(list(missing), request_timeout=_REQUEST_TIMEOUT_SECONDS))
    if excess := present - required:
        _wait(
            admin.delete_acls(
                [_exactly(binding) for binding in excess], request_timeout=_REQUEST_TIMEOUT_SECONDS
            )
        )


def acl_bindings(service: str, rights: Rights) -> Iterator[AclBinding]:
    """Yield the ACL bindings of a service's rights. READ and WRITE imply DESCRIBE."""
    allowed = [
        (ResourceType.TOPIC, rights.read_topics, (AclOperation.READ,)),
        (ResourceType.TOPIC, rights.written_topics, (AclOperation.WRITE,)),
        (ResourceType.TOPIC, rights.described_topics, (AclOperation.DESCRIBE_CONFIGS,)),
        (ResourceType.GROUP, rights.groups, (AclOperation.READ,)),
        (ResourceType.GROUP, rights.described_groups, (AclOperation.DESCRIBE,)),
        (
            ResourceType.TRANSACTIONAL_ID,
            rights.transactional_ids,
            (AclOperation.WRITE, AclOperation.DESCRIBE),
        ),
    ]
    for kind, names, operations in allowed:
        for name in names:
            for operation in operations:
                yield _allow(service, kind, name, operation)
    if rights.describes_cluster:
        yield _allow(service, ResourceType.BROKER, _CLUSTER, AclOperation.DESCRIBE)


def list_acls() -> Iterator[dict[str, str]]:
    """Yield the ACL bindings of all services, for the administrator of another Kafka."""
    for service, rights in RIGHTS.items():
        for binding in acl_bindings(service, rights):
            kind = ResourceType(binding.restype)
            yield {
                "principal": binding.principal,
                "operation": AclOperation(binding.operation).name,
                "resource": "CLUSTER" if kind is ResourceType.BROKER else kind.name,
                "name": binding.name,
                "pattern": ResourcePatternType(binding.resource_pattern_type).name,
            }


def _allow(service: str, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    is_prefix = name.endswith(ANY) and name != ANY
    return AclBinding(
        kind,
        name.removesuffix(ANY) if is_prefix else name,
        ResourcePatternType.PREFIXED if is_prefix else ResourcePatternType.LITERAL,
        f"User:{principal(service)}",
        _ANY_HOST,
        operation,
        AclPermissionType.ALLOW,
    )


def _exactly(acl: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        acl.restype, acl.name, acl.resource_pattern_type, acl.principal, acl.host,
        acl.operation, acl.permission_type,
    )  # fmt: skip


def _wait(futures: "dict[Any, Future[Any]]") -> None:
    for future in futures.values():
        future.result()
