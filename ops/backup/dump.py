"""PostgreSQL's own dump and restore, by its programs."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from ops.database.migrate import upgrade
from ops.local_stack.database import program
from sightline.runtime.connection_urls import database_url
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import row_schemas

_OF_KAFKA = ("sink_offsets", "given_up")
"""Positions in a Kafka that may not be there any more. Without them sinks read again what Kafka
keeps, and write it over what is there."""

_NO_PATH = b"SELECT pg_catalog.set_config('search_path', '', false);"
_PATH = b"SET search_path = public;\n"
"""A dump names every schema but one: of the `=` in a trigger's `IS DISTINCT FROM` for vectors."""


def dump(settings: Settings, file: Path) -> None:
    """Write the whole database, all of one moment. Raises SightlineError."""
    left_out = [f"--exclude-table-data=*.{table}" for table in _OF_KAFKA]
    _run(
        settings, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", *left_out,
        f"--file={file}",
    )  # fmt: skip


def load(settings: Settings, file: Path) -> None:
    """Put a dump in the place of everything, then bring it to this version's tables and rights.

    Raises SightlineError; the database is empty then, and it can be tried again.
    """
    try:
        with psycopg.connect(database_url(settings)) as db:
            for schema in row_schemas(db):
                db.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            db.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
    except psycopg.Error as error:
        raise SightlineError(f"the database cannot be emptied: {str(error).strip()}") from error
    _restore(settings, file)
    upgrade(settings)


def _restore(settings: Settings, file: Path) -> None:
    """All of the dump or nothing of it, in one transaction."""
    psql, env = _command(
        settings, "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1",
        "--single-transaction", "--output=/dev/null",
    )  # fmt: skip
    read = [str(program("pg_restore")), "--no-owner", "--no-privileges", "--file=-", str(file)]
    with (
        subprocess.Popen(read, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading,
        subprocess.Popen(psql, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as writing,
    ):
        if reading.stdout is None or writing.stdin is None:
            raise AssertionError("pipes were asked for")
        with suppress(BrokenPipeError), writing.stdin as script:
            for line in reading.stdout:
                script.write(line)
                if line.startswith(_NO_PATH):
                    script.write(_PATH)
                    break
            shutil.copyfileobj(reading.stdout, script)
        for name, process in (("psql", writing), ("pg_restore", reading)):
            said = process.stderr.read().decode() if process.stderr else ""
            if process.wait():
                raise _failed(name, said)


def _run(settings: Settings, name: str, *options: str) -> None:
    command, env = _command(settings, name, *options)
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if found.returncode:
        raise _failed(name, found.stderr)


def _failed(name: str, said: str) -> SightlineError:
    reason = (said.strip().splitlines() or ["no reason given"])[0]
    return SightlineError(f"{name} has failed: {reason}")


def _command(settings: Settings, name: str, *options: str) -> tuple[list[str], dict[str, str]]:
    """A program that works on the database, and its environment.

    The password is in there: a command line is for everybody who lists processes.
    """
    url = urlsplit(database_url(settings))
    user = quote(unquote(url.username or ""), safe="")
    netloc = f"{user}@{url.netloc.rpartition('@')[2]}" if user else url.netloc
    env = os.environ | ({"PGPASSWORD": unquote(url.password)} if url.password else {})
    address = urlunsplit(url._replace(netloc=netloc))
    return [str(program(name)), f"--dbname={address}", *options], dict(env)
