"""What the tests of a secure home share: its life until then, and clients that come to it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
import psycopg
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ops.local_stack.embedded import down
from schemas.naming import principal
from sightline.runtime.connection_urls import StackState, database_url
from sightline.runtime.keyring import CredentialFiles
from sightline.runtime.rights import CLI
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import ConfigValue, client_config, kafka_access
from tests.stack.closed_home_support import modes_above, reachable
from tests.stack.test_up_down import marker
from tests.support import eventually, own_home, run_sightline

SECONDS = 20.0


@contextmanager
def home_made_secure(cache: Path) -> Iterator[Settings]:
    """A home that was used as it is by default, by an earlier version, and made secure then.

    Anybody may list it, in a folder that its owner alone may enter. Kafka's jars have been
    fetched into `cache`, and no broker has been started or ended yet.
    """
    cache.mkdir()
    for path in platformdirs.user_cache_path("sightline").iterdir():
        if path.suffix != ".jsa" and not path.match("kafka-*-storage"):
            (cache / path.name).symlink_to(path)
    env = {"XDG_CACHE_HOME": str(cache.parent)}
    with own_home() as folder:
        home = folder / "home"
        home.mkdir()
        home.chmod(0o755)
        try:
            _use_plain(home, env)
            _leave_as_an_earlier_version(home)
            above = modes_above(home)
            run_sightline(home, "up", "--secure", seconds=300, env=env)
            assert modes_above(home) == above
            yield Settings(home=home)
        finally:
            down(Settings(home=home))


def _use_plain(home: Path, env: dict[str, str]) -> None:
    above = modes_above(home)
    assert above[home.parent] == 0o700
    result = run_sightline(home, "up", seconds=300, env=env)
    assert "others could enter the home" in result.stderr
    if os.geteuid() == 0:
        assert reachable(home) == []
    assert modes_above(home) == above
    marker(home, "kept")
    refused = run_sightline(home, "up", "--secure", check=False)
    assert refused.stderr == (
        "sightline: what runs is not secure: `sightline down`, then `up --secure`\n"
    )
    run_sightline(home, "down", env=env)


def _leave_as_an_earlier_version(home: Path) -> None:
    """Have the home let others pass; root's data are in it."""
    home.chmod(0o701)
    if os.geteuid() == 0:
        inside, elsewhere = home / "postgres", (home / "postgres").resolve()
        inside.unlink()
        shutil.move(elsewhere, inside)
        (inside / "home").unlink()
        inside.chmod(0o711)


def as_service(settings: Settings, service: str) -> Settings:
    return settings.model_copy(update={"principal": service})


Change = Callable[[Settings, CredentialFiles], dict[str, object]]


def with_access(settings: Settings, changed: dict[str, object]) -> dict[str, ConfigValue]:
    """The configuration of a service that comes with this instead of its own."""
    access = kafka_access(settings).model_copy(update=changed)
    address = f"127.0.0.1:{port(settings)}"
    given = settings.model_copy(update={"kafka_bootstrap_servers": address, "kafka": access})
    return client_config(given, "test")


def refused_by_kafka(config: dict[str, ConfigValue]) -> KafkaError | None:
    """Why Kafka gives nothing to a client; None where it gives the topics that there are."""
    errors: list[KafkaError] = []
    # The stubs know no callbacks.
    admin = AdminClient({**config, "log_level": 0, "error_cb": errors.append})  # type: ignore[dict-item]

    def answered() -> bool:
        try:
            admin.list_topics(timeout=0.5)
        except KafkaException:
            admin.poll(0)
            return bool(errors)
        return True

    eventually(answered, SECONDS, "Kafka lets in or refuses")
    return errors[0] if errors else None


def port(settings: Settings) -> int:
    ports = StackState.load(settings.home)
    assert ports is not None
    return ports.kafka[0].clients


WRONG: dict[str, Change] = {
    "certificate of another home": lambda _own, other: {
        "ssl_cert": other.pair("match").certificate,
        "ssl_key": other.pair("match").key,
    },
    "no certificate": lambda _own, _other: {"ssl_cert": None, "ssl_key": None},
    "trust in another home": lambda _own, other: {"ssl_ca": other.authority},
    "password of another service": lambda own, _other: {
        "sasl_password": CredentialFiles(own.home).kafka_password("vision")
    },
    "password of another home": lambda _own, other: {
        "sasl_password": other.kafka_password("match")
    },
    "name of the administrator": lambda _own, _other: {"sasl_username": principal(CLI)},
    "name of nobody": lambda _own, _other: {"sasl_username": "nobody"},
    "no password": lambda _own, _other: {"security_protocol": "SSL"},
    "no TLS": lambda _own, _other: {"security_protocol": "SASL_PLAINTEXT"},
    "nothing": lambda _own, _other: {"security_protocol": "PLAINTEXT"},
}


def url_with(settings: Settings, service: str, **changed: str) -> str:
    """A service's address of the database, with some of it changed."""
    known = psycopg.conninfo.conninfo_to_dict(database_url(as_service(settings, service)))
    return psycopg.conninfo.make_conninfo("", **(known | changed))
