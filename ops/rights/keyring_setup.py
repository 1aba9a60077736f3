"""Makes what a secure home's keyring holds: certificates, keys and passwords."""

import secrets
from pathlib import Path

from ops.rights.registry import RIGHTS
from schemas.naming import principal
from sightline.runtime.keyring import DATABASE, SUPERUSER, CredentialFiles, node_name
from sightline.runtime.private_files import write_private_file
from sightline.runtime.rights import CLI
from sightline.runtime.secrets import FILE


def prepare_keyring(keyring: CredentialFiles, brokers: int) -> None:
    """Create missing credentials, and renew certificates that expire soon."""
    from ops.rights.certificate_authority import Authority, utc_now  # noqa: PLC0415 - slow to import

    keyring.folder.mkdir(mode=0o700, exist_ok=True)
    authority = Authority(keyring.folder, utc_now())
    services = (CLI, *RIGHTS)
    names = {service: principal(service) for service in services}
    names |= {name: name for name in (SUPERUSER, DATABASE)}
    names |= {node: node for node in map(node_name, range(1, brokers + 1))}
    for folder, name in names.items():
        pair = keyring.pair(folder)
        pair.key.parent.mkdir(mode=0o700, exist_ok=True)
        authority.ensure(name, pair)
    for service in services:
        for secret in (keyring.kafka_password(service), keyring.database_password(service)):
            path = Path(secret.get_secret_value().removeprefix(FILE))
            if not path.exists():
                write_private_file(path, secrets.token_urlsafe(24).encode())
