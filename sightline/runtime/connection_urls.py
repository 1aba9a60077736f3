"""Where Kafka, the database and the objects are: given by settings, else the embedded stack's."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from pydantic import SecretStr

from sightline.runtime.errors import SightlineError
from sightline.runtime.keyring import SUPERUSER, Keyring
from sightline.runtime.private_files import write_secret
from sightline.runtime.rights import CLI, user
from sightline.runtime.secrets import SECRETS_MANAGER, forget, reveal
from sightline.runtime.settings import Settings

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """Loopback ports of one broker; 0 where none has been chosen yet."""

    clients: int
    nodes: int
    """Where the other brokers reach it."""
    controller: int
    advertised: int | None = None
    """What clients are told instead of `clients`, where something stands between: a proxy."""

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"{LOOPBACK}:{self.advertised or self.clients}"


@dataclass(frozen=True, slots=True)
class StackPorts:
    """What `sightline up` remembers in the home: loopback ports and the database's password."""

    kafka: tuple[KafkaNode, ...]
    postgres: int
    postgres_password: str
    prometheus: int | None = None
    """None where the home has no monitoring."""
    secure: bool = False
    """Whether both want a certificate and a password, and know what each service may do."""

    @property
    def taken(self) -> set[int]:
        """Every port."""
        nodes = {port for node in self.kafka for port in _ports(node)}
        return nodes | {self.postgres} | ({self.prometheus} if self.prometheus else set())

    @staticmethod
    def path(home: Path) -> Path:
        """The file that holds them, readable by its owner alone."""
        return home / "stack.json"

    @classmethod
    def load(cls, home: Path) -> "StackPorts | None":
        """What is remembered in a home, or None before its first `up`."""
        path = cls.path(home)
        if not path.exists():
            return None
        try:
            return _remembered(json.loads(path.read_text()))
        except (ValueError, TypeError, KeyError) as error:
            raise SightlineError(
                f"{path} is damaged; move it away and run `sightline up`"
            ) from error

    def save(self, home: Path) -> None:
        """Remember them."""
        write_secret(self.path(home), json.dumps(asdict(self), indent=2).encode())


def _ports(node: KafkaNode) -> tuple[int, ...]:
    return node.clients, node.nodes, node.controller, node.advertised or node.clients


def _remembered(saved: dict[str, Any]) -> StackPorts:
    kafka = saved.pop("kafka")
    if isinstance(kafka, int):  # a home of before there could be several nodes
        kafka = [{"clients": kafka, "nodes": 0, "controller": saved.pop("kafka_controller")}]
    return StackPorts(kafka=tuple(KafkaNode(**node) for node in kafka), **saved)


_UP_FIRST = "nothing is set up in {home}: run `sightline up` first, or give {variable}"


def kafka_servers(settings: Settings) -> str:
    """Kafka's bootstrap servers. Raises SightlineError where there are none."""
    if settings.kafka_bootstrap_servers:
        return settings.kafka_bootstrap_servers
    ports = StackPorts.load(settings.home)
    if ports is None:
        raise SightlineError(
            _UP_FIRST.format(home=settings.home, variable="KAFKA_BOOTSTRAP_SERVERS")
        )
    return ",".join(node.address for node in ports.kafka)


def database_url(settings: Settings) -> str:
    """The database's URL, password included, as it is now. Raises SightlineError without one."""
    if settings.db_secret_name:
        return _from_secret(settings)
    if settings.database_url:
        url = reveal(settings.database_url)
        if settings.database_password is None:
            return url
        return _signed_in(url, urlsplit(url).username or "", reveal(settings.database_password))
    ports = StackPorts.load(settings.home)
    if ports is None:
        raise SightlineError(_UP_FIRST.format(home=settings.home, variable="DATABASE_URL"))
    if not ports.secure or settings.identity == CLI:
        return admin_url(settings.home, ports)
    keyring, service = Keyring(settings.home), settings.identity
    password = reveal(keyring.database_password(service))
    return _secured(keyring, service, _signed_in(_embedded(ports), user(service), password))


def admin_url(home: Path, ports: StackPorts) -> str:
    """The embedded database's URL for who may do everything there."""
    url = _signed_in(_embedded(ports), SUPERUSER, ports.postgres_password)
    return _secured(Keyring(home), SUPERUSER, url) if ports.secure else url


def forget_database_url(settings: Settings) -> bool:
    """Note that the database refused the password; whether there is another one by now."""
    named = _database_secret(settings) if settings.db_secret_name else None
    secrets = (named, settings.database_url, settings.database_password)
    renewed = [forget(secret) for secret in secrets if secret is not None]  # each of them
    return any(renewed)


def is_database_given(settings: Settings) -> bool:
    """Whether the database is somebody else's, and not the embedded one."""
    return bool(settings.database_url or settings.db_secret_name)


def _database_secret(settings: Settings) -> SecretStr:
    return SecretStr(f"{SECRETS_MANAGER}{settings.db_secret_name}")


def _from_secret(settings: Settings) -> str:
    try:
        given = json.loads(reveal(_database_secret(settings)))
        user, password = given["username"], given["password"]
        url = (
            reveal(settings.database_url)
            if settings.database_url
            else f"postgresql://{given['host']}:{given.get('port', 5432)}"
            f"/{given.get('dbname') or 'sightline'}"
        )
    except (ValueError, KeyError, TypeError):
        raise SightlineError(
            f"the secret {settings.db_secret_name} is not as RDS writes it: a JSON object with"
            " username and password, and host unless DATABASE_URL says where"
        ) from None
    return _signed_in(url, user, password)


def _embedded(ports: StackPorts) -> str:
    return f"postgresql://{LOOPBACK}:{ports.postgres}/sightline"


def _secured(keyring: Keyring, name: str, url: str) -> str:
    """The URL for who has a certificate, and believes nobody but the home's own server."""
    pair = keyring.pair(name)
    tls = {
        "sslmode": "verify-full",
        "sslrootcert": keyring.authority,
        "sslcert": pair.certificate,
        "sslkey": pair.key,
    }
    return f"{url}?{urlencode(tls)}"


def _signed_in(url: str, user: str, password: str) -> str:
    """The URL with these instead of its own user and password."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    named = f"{quote(user, safe='')}:{quote(password, safe='')}@{hosts}"
    return urlunsplit(parts._replace(netloc=named))


def objects_folder(settings: Settings) -> Path:
    """The folder of the embedded object store."""
    return settings.home / "objects"
