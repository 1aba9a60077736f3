"""A database password that changes while a service runs, kept in AWS Secrets Manager over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from sightline.runtime.connection_urls import database_url, kafka_servers
from sightline.runtime.settings import Settings
from tests.aws import aws
from tests.metrics_support import is_ready, processes
from tests.support import environment, eventually, program, run_sightline, sightline_command

pytestmark = pytest.mark.stack

ROLE = "rotating"
OLD, NEW = "swordfish/1", "pike@2"


@pytest.fixture
def server(stack: Settings) -> Iterator[psycopg.Connection]:
    """The server of the stack, with a role and a database of the test's own."""
    drop = sql.SQL("DROP {} IF EXISTS {}")
    name = sql.Identifier(ROLE)
    with psycopg.connect(database_url(stack), autocommit=True) as server:
        server.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(name, OLD))
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield server
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        server.execute(drop.format(sql.SQL("ROLE"), name))


def backends(server: psycopg.Connection) -> list[int]:
    rows = server.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s", (ROLE,))
    return [pid for (pid,) in rows]


def test_a_running_service_takes_the_new_password(
    stack: Settings, server: psycopg.Connection, tmp_path: Path
) -> None:
    at = urlsplit(database_url(stack))
    secret = {"engine": "postgres", "host": at.hostname, "port": at.port, "dbname": ROLE}
    log = tmp_path / "cameras.log"

    def written(password: str) -> str:
        return json.dumps(secret | {"username": ROLE, "password": password})

    with aws() as cloud:
        cloud.secrets.create_secret(Name="site/database", SecretString=written(OLD))
        given = cloud.environment | {
            "DB_SECRET_NAME": "site/database",
            "KAFKA_BOOTSTRAP_SERVERS": kafka_servers(stack),
            "SIGHTLINE_SECRETS__REFRESH_SECONDS": "3600",  # only a refusal makes it look again
        }
        run_sightline(tmp_path, "db", "upgrade", env=given)
        command = sightline_command("run", "cameras")
        with program(command, log, env=environment(tmp_path, **given)) as service:
            # Not at its first connection: it may still read there what is in the database.
            eventually(
                lambda: any(is_ready(one.address) for one in processes(tmp_path, "cameras")),
                what="it serves",
            )
            (before,) = backends(server)
            server.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ROLE), NEW))
            server.execute("SELECT pg_terminate_backend(%s)", (before,))
            eventually(
                lambda: "password authentication failed" in log.read_text(),
                what="the old password is refused",
            )
            assert backends(server) == []
            cloud.secrets.put_secret_value(SecretId="site/database", SecretString=written(NEW))
            eventually(lambda: backends(server), what="a connection with the new password")
            assert service.poll() is None, "the same process, never restarted"
            service.terminate()
            assert service.wait(120) == 0
    assert OLD not in log.read_text()
    assert NEW not in log.read_text()
