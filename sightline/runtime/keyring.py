"""What a secure home keeps for whom: certificates, keys and passwords, below `secure/`."""

from pathlib import Path

from pydantic import SecretStr

from sightline.runtime.private_files import Pair
from sightline.runtime.secrets import FILE

SUPERUSER = "postgres"
"""PostgreSQL's own administrator, who is the person at the command line."""

DATABASE = "postgresql"
"""The database server."""


class Keyring:
    """The files of one home."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "secure"
        self.authority = self.folder / "ca.crt"

    def pair(self, name: str) -> Pair:
        """The certificate of a service, a server or an administrator."""
        return Pair(self.folder / name / "tls.crt", self.folder / name / "tls.key")

    def kafka_password(self, service: str) -> SecretStr:
        """Where a service's password for Kafka is."""
        return SecretStr(f"{FILE}{self.folder / service / 'kafka-password'}")

    def database_password(self, service: str) -> SecretStr:
        """Where a service's password for PostgreSQL is."""
        return SecretStr(f"{FILE}{self.folder / service / 'postgres-password'}")


def node_name(number: int) -> str:
    """What a broker is called in its certificate."""
    return f"kafka-{number}"
