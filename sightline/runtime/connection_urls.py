"""Addresses of Kafka, the database and the objects: settings, else those of the embedded stack."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from pydantic import SecretStr

from schemas.naming import principal
from sightline.runtime.errors import SightlineError
from sightline.runtime.keyring import SUPERUSER, CredentialFiles
from sightline.runtime.private_files import write_private_file
from sightline.runtime.rights import CLI
from sightline.runtime.secrets import SECRETS_MANAGER, mark_refused, reveal, reveal_local
from sightline.runtime.settings import Settings

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class BrokerPorts:
    """Loopback ports of a broker; 0 until a port is chosen."""

    clients: int
    nodes: int
    """Port for the other brokers."""
    controller: int
    advertised: int | None = None
    """Port that is advertised to clients instead of `clients`, behind a proxy."""

    @property
    def address(self) -> str:
        """Host and port for clients."""
        return f"{LOOPBACK}:{self.advertised or self.clients}"


@dataclass(frozen=True, slots=True)
class StackState:
    """Loopback ports and the database's password of an embedded stack, kept in its home."""

    kafka: tuple[BrokerPorts, ...]
    postgres: int
    postgres_password: str
    prometheus: int | None = None
    """None without monitoring."""
    secure: bool = False
    """True when both servers require a certificate and a password, and authorise each service."""

    @property
    def used_ports(self) -> set[int]:
        """All ports that are in use."""
        nodes = {port for node in self.kafka for port in _ports(node)}
        return nodes | {self.postgres} | ({self.prometheus} if self.prometheus else set())

    @staticmethod
    def path(home: Path) -> Path:
        """Return the path of the file, readable by its owner alone."""
        return home / "stack.json"

    @classmethod
    def load(cls, home: Path) -> "StackState | None":
        """Load the ports of a home; None before its first `up`. Raises SightlineError."""
        path = cls.path(home)
        if not path.exists():
            return None
        try:
            return _parsed(json.loads(path.read_text()))
        except (ValueError, TypeError, KeyError) as error:
            raise SightlineError(
                f"{path} is damaged; move it away and run `sightline up`"
            ) from error

    def save(self, home: Path) -> None:
        """Write the ports into a home."""
        write_private_file(self.path(home), json.dumps(asdict(self), indent=2).encode())


def _ports(node: BrokerPorts) -> tuple[int, ...]:
    return node.clients, node.nodes, node.controller, node.advertised or node.clients


def _parsed(saved: dict[str, Any]) -> StackState:
    kafka = saved.pop("kafka")
    if isinstance(kafka, int):  # written before a stack could have several nodes
        kafka = [{"clients": kafka, "nodes": 0, "controller": saved.pop("kafka_controller")}]
    return StackState(kafka=tuple(BrokerPorts(**node) for node in kafka), **saved)


_UP_FIRST = "nothing is set up in {home}: run `sightline up` first, or give {variable}"


def kafka_servers(settings: Settings) -> str:
    """Return Kafka's bootstrap servers. Raises SightlineError without any."""
    if settings.kafka_bootstrap_servers:
        return settings.kafka_bootstrap_servers
    ports = StackState.load(settings.home)
    if ports is None:
        raise SightlineError(
            _UP_FIRST.format(home=settings.home, variable="KAFKA_BOOTSTRAP_SERVERS")
        )
    return ",".join(node.address for node in ports.kafka)


def database_url(settings: Settings) -> str:
    """Return the database's URL with the present password. Raises SightlineError without a URL."""
    if settings.db_secret_name:
        return _rds_url(settings)
    if settings.database_url:
        url = reveal(settings.database_url, settings.secrets)
        if settings.database_password is None:
            return url
        return _with_credentials(
            url, urlsplit(url).username or "", reveal(settings.database_password, settings.secrets)
        )
    ports = StackState.load(settings.home)
    if ports is None:
        raise SightlineError(_UP_FIRST.format(home=settings.home, variable="DATABASE_URL"))
    if not ports.secure or settings.principal == CLI:
        return superuser_url(settings.home, ports)
    keyring, service = CredentialFiles(settings.home), settings.principal
    password = reveal_local(keyring.database_password(service))
    return _with_certificate(
        keyring, service, _with_credentials(_embedded(ports), principal(service), password)
    )


def superuser_url(home: Path, ports: StackState) -> str:
    """Return the embedded database's URL for its superuser."""
    url = _with_credentials(_embedded(ports), SUPERUSER, ports.postgres_password)
    return _with_certificate(CredentialFiles(home), SUPERUSER, url) if ports.secure else url


def refresh_database_url(settings: Settings) -> bool:
    """Note that the database refused the password; return whether it has changed meanwhile."""
    rds_secret = _database_secret(settings) if settings.db_secret_name else None
    references = (rds_secret, settings.database_url, settings.database_password)
    # A list, so that every secret is forgotten before `any` looks at the first.
    changes = [
        mark_refused(secret, settings.secrets) for secret in references if secret is not None
    ]
    return any(changes)


def is_database_external(settings: Settings) -> bool:
    """Tell whether the settings name a database, instead of the embedded one."""
    return bool(settings.database_url or settings.db_secret_name)


def _database_secret(settings: Settings) -> SecretStr:
    return SecretStr(f"{SECRETS_MANAGER}{settings.db_secret_name}")


def _rds_url(settings: Settings) -> str:
    try:
        credentials = json.loads(reveal(_database_secret(settings), settings.secrets))
        user, password = credentials["username"], credentials["password"]
        url = (
            reveal(settings.database_url, settings.secrets)
            if settings.database_url
            else f"postgresql://{credentials['host']}:{credentials.get('port', 5432)}"
            f"/{credentials.get('dbname') or 'sightline'}"
        )
    except (ValueError, KeyError, TypeError):
        raise SightlineError(
            f"the secret {settings.db_secret_name} is not as RDS writes it: a JSON object with"
            " username and password, and host unless DATABASE_URL says where"
        ) from None
    return _with_credentials(url, user, password)


def _embedded(ports: StackState) -> str:
    return f"postgresql://{LOOPBACK}:{ports.postgres}/sightline"


def _with_certificate(keyring: CredentialFiles, name: str, url: str) -> str:
    """Return a URL with a client certificate that verifies the home's own server."""
    pair = keyring.pair(name)
    tls = {
        "sslmode": "verify-full",
        "sslrootcert": keyring.authority,
        "sslcert": pair.certificate,
        "sslkey": pair.key,
    }
    # libpq reads no "+" as a space.
    return f"{url}?{urlencode(tls, quote_via=quote)}"


def _with_credentials(url: str, user: str, password: str) -> str:
    """Return a URL with its user and password replaced."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    named = f"{quote(user, safe='')}:{quote(password, safe='')}@{hosts}"
    return urlunsplit(parts._replace(netloc=named))


def objects_folder(settings: Settings) -> Path:
    """Return the folder of the embedded object store."""
    return settings.home / "objects"
