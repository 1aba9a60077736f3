"""Back to the version before and forth again, with an installation's data in the tables."""

from typing import Any

import psycopg
import pytest

from ops.database.migrate import downgrade, revisions, upgrade
from ops.runs.tables import create_schema
from sightline.audit.actor import command_actor
from sightline.audit.trail import Recording, record_access
from sightline.people import employees
from sightline.people.employees import EmployeeProfile
from sightline.people.photos import PhotoTemplate
from sightline.runtime.connection_urls import database_url
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from tests.sealed import beside
from tests.stack.people_support import met
from tests.stack.test_people_backup import unit

pytestmark = pytest.mark.stack

BEFORE_OPERATIONS = "0005"

Rows = list[tuple[Any, ...]]


def columns(db: psycopg.Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, name in db.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
        " ORDER BY table_name, column_name"
    ):
        found.setdefault(table, []).append(name)
    return found


def content(db: psycopg.Connection, of: dict[str, list[str]]) -> dict[str, Rows]:
    """The rows of these columns, as text."""
    return {
        table: sorted(
            db.execute(f"SELECT {', '.join(f'{name}::text' for name in names)} FROM {table}"),
            key=str,
        )
        for table, names in of.items()
    }


def fill(own: Settings) -> None:
    """Somebody enrolled, somebody met, and a line in the trail."""
    with connect(own) as db, db.cursor() as cursor:
        person, _ = employees.find_or_add(cursor, "Rolled Ann", EmployeeProfile())
        employees.add_template(
            cursor, person, "backup-pack", "ann.jpg", PhotoTemplate(b"", unit(31), 0.7)
        )
    met(own, unit(32))
    with record_access(Recording(own, "employees.list", command_actor())):
        pass


def test_a_step_back_keeps_what_the_version_before_has(stack: Settings) -> None:
    with beside(stack) as own:
        fill(own)
        newest = revisions(own)[1]
        with psycopg.connect(database_url(own), autocommit=True) as db:
            everything = columns(db)
            full = content(db, everything)
            assert len(full["face_templates"]) == len(full["person_tracks"]) == 1
            assert len(full["audit"]) == 1

            downgrade(own, BEFORE_OPERATIONS)
            older = columns(db)
            assert older.keys() < everything.keys()
            assert {"audit", "api_keys", "sealing_keys"}.isdisjoint(older)
            kept = content(db, older)

            upgrade(own)
            assert revisions(own) == (newest, newest)
            assert columns(db) == everything
            assert content(db, older) == kept
            for table, names in older.items():
                places = [everything[table].index(name) for name in names]
                were = [tuple(row[place] for place in places) for row in full[table]]
                assert kept[table] == sorted(were, key=str), table
            # What the new version writes finds its place beside what was there.
            met(own, unit(33))
            assert db.execute("SELECT count(*) FROM track_faces").fetchone() == (2,)


def test_tables_of_runs_go_back_and_forth_as_often_as_wanted(stack: Settings) -> None:
    with beside(stack) as own:
        with connect(own) as db, db.cursor() as cursor:
            create_schema(cursor, "rolled")
        with psycopg.connect(database_url(own), autocommit=True) as db:
            where = "table_schema = 'run_rolled' AND table_name = 'stale_objects'"
            query = f"SELECT column_name FROM information_schema.columns WHERE {where} ORDER BY 1"
            newest = db.execute(query).fetchall()
            for _ in range(2):
                downgrade(own, "0010")
                assert len(db.execute(query).fetchall()) == len(newest) - 2
                upgrade(own)
                assert db.execute(query).fetchall() == newest
