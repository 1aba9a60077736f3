"""Dump and restore of the database, by PostgreSQL's own programs."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from ops.database.migrate import upgrade
from ops.local_stack.database import postgres_program
from sightline.runtime.connection_urls import database_url
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import row_schemas

_POSITION_TABLES = ("sink_offsets", "given_up")
"""Tables of positions in a Kafka that may not exist any more.

Without their rows sinks read again all that Kafka holds, and upsert the same rows.
"""

_CLEARED_PATH = b"SELECT pg_catalog.set_config('search_path', '', false);"
_PATH = b"SET search_path = public;\n"
"""Search path for the one name that a dump leaves unqualified: the vectors' `=` in a trigger."""


def dump(settings: Settings, file: Path) -> None:
    """Write a consistent dump of the whole database. Raises SightlineError."""
    exclusions = [f"--exclude-table-data=*.{table}" for table in _POSITION_TABLES]
    _run(
        settings, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", *exclusions,
        f"--file={file}",
    )  # fmt: skip


def load(settings: Settings, file: Path) -> None:
    """Replace the whole database by a dump, then migrate it to this version's tables and rights.

    Raises SightlineError; the database is empty then, and the call can be repeated.
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
    """Restore the whole dump in one transaction."""
    psql, env = _command(
        settings, "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1",
        "--single-transaction", "--output=/dev/null",
    )  # fmt: skip
    options = ("--no-owner", "--no-privileges", "--file=-")
    read = [str(postgres_program("pg_restore")), *options, str(file)]
    with (
        subprocess.Popen(read, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading,
        subprocess.Popen(psql, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as writing,
    ):
        if reading.stdout is None or writing.stdin is None:
            raise AssertionError("pipes were asked for")
        with suppress(BrokenPipeError), writing.stdin as script:
            for line in reading.stdout:
                script.write(line)
                if line.startswith(_CLEARED_PATH):
                    script.write(_PATH)
                    break
            shutil.copyfileobj(reading.stdout, script)
        for name, process in (("psql", writing), ("pg_restore", reading)):
            errors = process.stderr.read().decode() if process.stderr else ""
            if process.wait():
                raise _failure(name, errors)


def _run(settings: Settings, name: str, *options: str) -> None:
    command, env = _command(settings, name, *options)
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if result.returncode:
        raise _failure(name, result.stderr)


def _failure(name: str, errors: str) -> SightlineError:
    reason = (errors.strip().splitlines() or ["no reason given"])[0]
    return SightlineError(f"{name} has failed: {reason}")


def _command(settings: Settings, name: str, *options: str) -> tuple[list[str], dict[str, str]]:
    """Return the command line of a program that works on the database, and its environment.

    The password is in the environment: command lines are readable by all users.
    """
    url = urlsplit(database_url(settings))
    user = quote(unquote(url.username or ""), safe="")
    netloc = f"{user}@{url.netloc.rpartition('@')[2]}" if user else url.netloc
    env = os.environ | ({"PGPASSWORD": unquote(url.password)} if url.password else {})
    address = urlunsplit(url._replace(netloc=netloc))
    return [str(postgres_program(name)), f"--dbname={address}", *options], dict(env)
