"""A home of `up --secure`: who is who they say may do what the table of rights says, nobody else
anything, and it is its owner's alone. The whole pipeline on such a home: tests/e2e/test_demo.py."""

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ops.local_stack import storage_template
from ops.local_stack.broker import Broker
from ops.local_stack.process_registry import SUPERVISOR, ServiceProcess, running_services
from ops.rights.keyring_setup import prepare_keyring
from ops.rights.registry import RIGHTS
from schemas.naming import principal
from schemas.topics import FACES, all_topics
from sightline.runtime.connection_urls import StackState, database_url, superuser_url
from sightline.runtime.keyring import CredentialFiles
from sightline.runtime.rights import ANY, CLI
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.streaming.client_config import (
    ConfigValue,
    client_config,
    consumer_config,
    kafka_access,
    producer_config,
)
from sightline.streaming.partition_sizes import partition_bytes
from tests.stack.closed_home_support import modes_above, paths, reachable, rights_of_others
from tests.stack.secure_support import (
    SECONDS,
    WRONG,
    as_service,
    home_made_secure,
    refused_by_kafka,
    url_with,
    with_access,
)
from tests.stack.test_up_down import processes
from tests.support import environment, eventually, program, run_sightline, sightline_command

pytestmark = pytest.mark.stack

TOPICS = sorted(topic.name for topic in all_topics())
IDS = ("cluster.id", "node.id", "directory.id")
WORDS = ("SELECT", "INSERT", "UPDATE", "DELETE")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home that was used as it is by default, and made secure then."""
    with home_made_secure(tmp_path_factory.mktemp("cache") / "sightline") as settings:
        yield settings


def holds(names: tuple[str, ...], name: str) -> bool:
    """Whether a name is among those of the table of rights."""
    return any(
        name == one or (one.endswith(ANY) and name.startswith(one.removesuffix(ANY)))
        for one in names
    )


def test_what_was_there_before_still_is_and_it_stays_secure(secure: Settings) -> None:
    password = secure.home / "secure" / "match" / "kafka-password"
    before = password.read_text()
    password.unlink()
    run_sightline(secure.home, "up")
    assert password.read_text() != before
    with connect(secure) as db:
        assert db.execute("SELECT room_id FROM rooms").fetchall() == [("kept",)]
        row = db.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert row == ("TLSv1.3",)
    assert kafka_access(secure).security_protocol == "SASL_SSL"
    assert run_sightline(secure.home, "status").returncode == 0


def test_a_broker_maps_the_classes_that_one_before_has_left(
    secure: Settings, tmp_path: Path
) -> None:
    """The JVM says nothing where an archive is missing or does not fit: it starts without.

    Neither does it say whether the folder of the next home has to be formatted again.
    """
    [broker] = Broker(secure.home).running()
    mapped = {Path(part.path) for part in broker.memory_maps()}
    [archive] = [path for path in mapped if path.suffix == ".jsa" and "sightline" in path.parts]
    assert archive.stat().st_mode & 0o077 == 0
    assert [path.name for path in archive.parent.glob("*.jsa*")] == [archive.name]
    [template] = archive.parent.glob("kafka-*-storage*")
    assert storage_template.copy(template, tmp_path / "next", dict.fromkeys(IDS, "1"))


def written(settings: Settings) -> set[str]:
    """The topics that take a record."""
    took: dict[str, int | None] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        took[message.topic() or ""] = None if error is None else error.code()

    # Who may write nothing is refused an idempotent producer at once.
    producer = Producer(producer_config(settings, "test") | {"enable.idempotence": False})
    for topic in TOPICS:
        producer.produce(topic, b"", key=b"test", on_delivery=delivered)
    assert producer.flush(SECONDS) == 0
    assert set(took.values()) <= {None, KafkaError.TOPIC_AUTHORIZATION_FAILED}
    return {topic for topic, error in took.items() if error is None}


def read(settings: Settings, group: str) -> set[str]:
    """The topics that give what they hold."""
    consumer = Consumer(consumer_config(settings, "test", group) | {"enable.partition.eof": True})
    given: dict[str, bool] = {}

    def heard() -> bool:
        for message in consumer.consume(100, 0.1):
            error = message.error()
            code = None if error is None else error.code()
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                given[message.topic() or ""] = False
            elif code in (None, KafkaError._PARTITION_EOF):
                given[message.topic() or ""] = True
        return set(given) == visible

    try:
        # Of any other topic it does not learn that it is there.
        visible = set(consumer.list_topics(timeout=SECONDS).topics) & set(TOPICS)
        consumer.assign([TopicPartition(topic, 0, 0) for topic in visible])
        eventually(heard, SECONDS, "each topic answers or refuses")
    finally:
        consumer.close()
    return {topic for topic, is_given in given.items() if is_given}


@pytest.mark.parametrize("service", RIGHTS)
def test_a_service_reads_and_writes_its_topics_and_no_others(
    secure: Settings, service: str
) -> None:
    rights, settings = RIGHTS[service], as_service(secure, service)
    assert written(settings) == {name for name in TOPICS if holds(rights.written_topics, name)}
    group = next(iter(rights.groups), "sightline-nobody").removesuffix(ANY)
    assert read(settings, group) == {name for name in TOPICS if holds(rights.read_topics, name)}


def groups_seen(settings: Settings) -> set[str]:
    """Of whose groups this one may know where they stand."""
    names = [one.removesuffix(ANY) for rights in RIGHTS.values() for one in rights.groups]
    seen = set()
    admin = AdminClient(client_config(settings, "test"))
    for name, future in admin.describe_consumer_groups(names).items():
        try:
            future.result(60)
        except KafkaException as error:
            assert error.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED
        else:
            seen.add(name)
    return seen


def test_no_service_looks_into_the_groups_or_transactions_of_another(secure: Settings) -> None:
    for service in ("match", "access-log", "outbox", "retention"):
        rights = RIGHTS[service]
        seen = groups_seen(as_service(secure, service))
        assert all(holds(rights.groups + rights.described_groups, name) for name in seen), service
        own = {name for name in rights.groups if not name.endswith(ANY)}
        assert own <= seen
    thief = Producer(
        producer_config(as_service(secure, "match"), "test", "sightline-vision-default-1")
    )
    with pytest.raises(KafkaException) as refused:
        thief.init_transactions(SECONDS)
    assert refused.value.args[0].code() == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_the_command_line_alone_makes_topics(secure: Settings) -> None:
    outcomes = {}
    for service in (CLI, "vision", "retention", "api"):
        admin = AdminClient(client_config(as_service(secure, service), "test"))
        future = admin.create_topics([NewTopic("made-by-a-test", 1, 1)], validate_only=True)
        try:
            future["made-by-a-test"].result(60)
        except KafkaException as error:
            outcomes[service] = error.args[0].code()
        else:
            outcomes[service] = None
    refused = KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert outcomes == {CLI: None, "vision": refused, "retention": refused, "api": refused}


def test_sizes_are_told_to_retention_and_to_no_other_service(secure: Settings) -> None:
    assert {topic for topic, _number in partition_bytes(as_service(secure, "retention"))} >= {
        FACES.name
    }
    assert not partition_bytes(as_service(secure, "match"))


def wanted_of(service: str) -> set[tuple[str, str]]:
    """What the table of rights grants: (table, word)."""
    return {
        (table, word)
        for table, words in RIGHTS[service].tables.items()
        for word in WORDS
        if word in words
    }


@pytest.mark.parametrize("service", [name for name, rights in RIGHTS.items() if rights.tables])
def test_a_role_has_the_rights_of_its_service_and_no_others(secure: Settings, service: str) -> None:
    with psycopg.connect(database_url(as_service(secure, service))) as db:
        found = db.execute(
            "SELECT relname, word FROM pg_class, unnest(%s::text[]) AS word"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " AND (has_table_privilege(pg_class.oid, word) OR (word <> 'DELETE'"
            "     AND has_any_column_privilege(pg_class.oid, replace(word, 'DELETE', 'SELECT'))))",
            (list(WORDS),),
        ).fetchall()
        assert set(found) == wanted_of(service)
        who = db.execute(
            "SELECT current_user, rolsuper, rolcreaterole FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        assert who == (principal(service), False, False)


@pytest.mark.parametrize(
    ("service", "statement"),
    [
        ("access-log", "SELECT embedding FROM face_templates"),
        ("access-log", "SELECT email FROM employees"),
        ("retention", "SELECT embedding FROM face_templates"),
        ("retention", "SELECT name FROM employees"),
        ("cameras", "UPDATE cameras SET uri = 'rtsp://elsewhere'"),
        ("cameras", "SELECT * FROM access_logs"),
        ("snapshots", "UPDATE access_logs SET person_name = 'nobody'"),
        ("outbox", "INSERT INTO outbox (topic, key) VALUES ('gallery', 'x')"),
        ("api", "DELETE FROM access_logs"),
        ("api", "UPDATE audit SET actor_name = 'nobody'"),
        ("api", "INSERT INTO api_keys DEFAULT VALUES"),
        ("person-state", "CREATE TABLE mine (id integer)"),
        ("person-state", "DROP TABLE person_tracks"),
        ("visitor-log", "SELECT pg_read_file('/etc/passwd')"),
        ("visitor-log", "SET ROLE postgres"),
    ],
)  # fmt: skip
def test_what_is_not_granted_is_refused(secure: Settings, service: str, statement: str) -> None:
    with (
        psycopg.connect(database_url(as_service(secure, service))) as db,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        db.execute(statement)


@pytest.mark.parametrize("service", [name for name, rights in RIGHTS.items() if not rights.tables])
def test_who_has_no_tables_does_not_get_in(secure: Settings, service: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(database_url(as_service(secure, service)))


@pytest.fixture(scope="module")
def stranger() -> Iterator[CredentialFiles]:
    """The certificates of another home."""
    with tempfile.TemporaryDirectory() as folder:
        keyring = CredentialFiles(Path(folder))
        prepare_keyring(keyring, brokers=1)
        yield keyring


@pytest.mark.parametrize("wrong", WRONG)
def test_kafka_gives_nothing_to_whoever_comes_with(
    secure: Settings, stranger: CredentialFiles, wrong: str
) -> None:
    match = as_service(secure, "match")
    assert refused_by_kafka(with_access(match, {})) is None
    assert refused_by_kafka(with_access(match, WRONG[wrong](match, stranger)))


def test_nobody_without_a_node_s_certificate_speaks_as_a_broker(
    secure: Settings, stranger: CredentialFiles
) -> None:
    ports = StackState.load(secure.home)
    assert ports is not None

    listener = f"127.0.0.1:{ports.kafka[0].nodes}"

    def config(keyring: CredentialFiles, name: str) -> dict[str, ConfigValue]:
        pair = keyring.pair(name)
        return {
            "bootstrap.servers": listener,
            "security.protocol": "SSL",
            "ssl.ca.location": str(CredentialFiles(secure.home).authority),
            "ssl.certificate.location": str(pair.certificate),
            "ssl.key.location": str(pair.key),
        }

    own = CredentialFiles(secure.home)
    node = AdminClient(config(own, "kafka-1"))
    assert set(TOPICS) <= set(node.list_topics(timeout=SECONDS).topics)
    service = AdminClient(config(own, "match"))  # by its certificate alone it is nobody
    assert not service.list_topics(timeout=SECONDS).topics
    assert refused_by_kafka(config(stranger, "kafka-1"))


def test_postgresql_gives_nothing_to_whoever_comes_with_the_wrong_thing(
    secure: Settings, stranger: CredentialFiles
) -> None:
    own, other = CredentialFiles(secure.home).pair("cameras"), stranger.pair("api")
    ports = StackState.load(secure.home)
    assert ports is not None
    secret = psycopg.conninfo.conninfo_to_dict(database_url(as_service(secure, "cameras")))
    wrong = {
        "certificate of another home": {
            "sslcert": str(other.certificate),
            "sslkey": str(other.key),
        },
        "certificate of another service": {"sslcert": str(own.certificate), "sslkey": str(own.key)},
        "no certificate": {"sslcert": "/nonexistent", "sslkey": "/nonexistent"},
        "trust in another home": {"sslrootcert": str(stranger.authority)},
        "password of another service": {"password": str(secret["password"])},
        "name of the administrator": {"user": "postgres"},
        "name of another service": {"user": principal("cameras")},
        "no TLS": {"sslmode": "disable"},
    }
    psycopg.connect(url_with(secure, "api")).close()
    for what, changed in wrong.items():
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url_with(secure, "api", **changed)).close()
            pytest.fail(f"{what}: was let in")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(superuser_url(secure.home, ports).partition("?")[0] + "?sslmode=require")


def services(settings: Settings) -> dict[str, ServiceProcess]:
    return {one.name: one for one in running_services(settings)}


def count(settings: Settings, name: str) -> int:
    return sum(one.name == name for one in running_services(settings))


def test_all_services_run_come_back_and_go_down_with_the_stack(
    secure: Settings, tmp_path: Path
) -> None:
    """The end of its life: nothing runs, all run and none opens anything to others, nothing does.

    A secure home has every file that a plain one has, and keys and passwords besides.
    """
    home = secure.home
    nothing = run_sightline(home, "health", "--json", check=False)
    assert (nothing.returncode, nothing.stdout) == (1, "[]\n")
    assert (
        nothing.stderr == f"sightline: no service of {home} runs: `sightline run all` starts them\n"
    )
    nothing = run_sightline(home, "status")  # no service is to run
    assert "Services: none; `sightline run all` starts them" in nothing.stdout

    names = {point.name for point in entry_points(group="sightline.services")}
    above = modes_above(home)
    log = tmp_path / "services.log"
    env = environment(home, SIGHTLINE_PACK="dlib", SIGHTLINE_API__PORT="0")
    command = ["sh", "-c", 'umask 022; exec "$@"', "sh", *sightline_command("run", "all")]
    with program([*command, "--vision-workers", "2"], log, env=env) as supervisor:
        eventually(lambda: services(secure).keys() == names | {SUPERVISOR})
        eventually(lambda: count(secure, "vision") == 2)

        again = run_sightline(home, "run", "all", check=False)
        assert again.returncode == 1
        assert "run already" in again.stderr

        killed = services(secure)["outbox"]
        killed.process.send_signal(signal.SIGKILL)
        eventually(lambda: services(secure).get("outbox", killed).pid != killed.pid)

        eventually((home / "match").exists)
        assert len(paths(home)) > 1000
        if os.geteuid() == 0:
            assert (home / "postgres").is_symlink()
            assert reachable(home) == []
        assert rights_of_others(home) == {}

        down = run_sightline(home, "down")
        assert down.stdout.startswith("stopped: all")
        assert supervisor.wait(120) == 0, log.read_text()
    assert services(secure) == {}
    assert processes(home) == []
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert modes_above(home) == above
