"""What a secure home keeps for whom: certificates, keys and passwords, below `secure/`."""

import secrets
from pathlib import Path

from pydantic import SecretStr

from sightline.runtime.private_files import Pair, write_secret
from sightline.runtime.rights import CLI, RIGHTS, user
from sightline.runtime.secrets import FILE

SUPERUSER = "postgres"
"""PostgreSQL's own administrator, who is the person at the command line."""

DATABASE = "postgresql"
"""The database server."""


class Keyring:
    """The files of one home."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "secure"
        self.authority = self._folder / "ca.crt"

    def pair(self, name: str) -> Pair:
        """The certificate of a service, a server or an administrator."""
        return Pair(self._folder / name / "tls.crt", self._folder / name / "tls.key")

    def kafka_password(self, service: str) -> SecretStr:
        """Where a service's password for Kafka is."""
        return SecretStr(f"{FILE}{self._folder / service / 'kafka-password'}")

    def database_password(self, service: str) -> SecretStr:
        """Where a service's password for PostgreSQL is."""
        return SecretStr(f"{FILE}{self._folder / service / 'postgres-password'}")

    def prepare(self, brokers: int) -> None:
        """Make what is missing, and certificates that soon run out; the rest stays as it is."""
        from ops.rights.certificate_authority import Authority, now  # noqa: PLC0415 - takes its time

        self._folder.mkdir(mode=0o700, exist_ok=True)
        authority = Authority(self._folder, now())
        services = (CLI, *RIGHTS)
        names = {service: user(service) for service in services}
        names |= {one: one for one in (SUPERUSER, DATABASE)}
        names |= {node: node for node in map(node_name, range(1, brokers + 1))}
        for folder, name in names.items():
            pair = self.pair(folder)
            pair.key.parent.mkdir(mode=0o700, exist_ok=True)
            authority.ensure(name, pair)
        for service in services:
            for secret in (self.kafka_password(service), self.database_password(service)):
                path = Path(secret.get_secret_value().removeprefix(FILE))
                if not path.exists():
                    write_secret(path, secrets.token_urlsafe(24).encode())


def node_name(number: int) -> str:
    """What a broker is called in its certificate."""
    return f"kafka-{number}"
