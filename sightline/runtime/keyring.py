"""Certificates, keys and passwords of a secure home, below `secure/`."""

from pathlib import Path

from pydantic import SecretStr

from sightline.runtime.private_files import CertificateFiles
from sightline.runtime.secrets import FILE

SUPERUSER = "postgres"
"""PostgreSQL's superuser, the principal of the command line."""

DATABASE = "postgresql"
"""Name of the database server's certificate."""


class CredentialFiles:
    """Files of a home's credentials."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "secure"
        self.authority = self.folder / "ca.crt"

    def pair(self, name: str) -> CertificateFiles:
        """Return the certificate and key of a service, a server or an administrator."""
        return CertificateFiles(self.folder / name / "tls.crt", self.folder / name / "tls.key")

    def kafka_password(self, service: str) -> SecretStr:
        """Return the reference to a service's password for Kafka."""
        return SecretStr(f"{FILE}{self.folder / service / 'kafka-password'}")

    def database_password(self, service: str) -> SecretStr:
        """Return the reference to a service's password for PostgreSQL."""
        return SecretStr(f"{FILE}{self.folder / service / 'postgres-password'}")


def node_name(number: int) -> str:
    """Return the name of a broker in its certificate."""
    return f"kafka-{number}"
