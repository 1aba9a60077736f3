"""The migrations on the real database."""

import psycopg
import pytest

from sightline.runtime.connection_urls import database_url
from sightline.runtime.errors import UnreachableError
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect
from tests.stack.commands_support import run
from tests.support import run_sightline

pytestmark = pytest.mark.stack

COLUMNS = {
    "employees": "id name email department employee_id_code aws_face_id photo_url status"
    " is_authorized enrolled_at last_seen created_by notes",
    "access_logs": "id track_id person_name employee_id is_authorized access_status"
    " confidence_score aws_face_id snapshot_path timestamp entry_point location_x location_y"
    " flagged notes track_uuid frame_topic frame_partition frame_offset",
    "visitor_logs": "visitor_log_id camera_name persons_name confidence_score visited_at"
    " created_at motion_event_id",
    "detected_persons": "id global_id person_id assigned_name face_embedding face_quality"
    " avg_height_pixels avg_width_pixels avg_height_meters first_seen last_seen"
    " total_appearances cameras_visited is_active current_room_id current_positions"
    " total_detections quality_scores created_at updated_at",
    "motion_events": "event_id camera_id started_at ended_at processed",
    "cameras": "camera_id uri site_id fleet entry_point room_id",
    "rooms": "room_id name",
}


def columns(url: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(table, column) -> (type, default)."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT table_name, column_name, data_type, coalesce(column_default, '')"
            " FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
        )
        return {(str(row[0]), str(row[1])): (str(row[2]), str(row[3])) for row in found}


def test_the_tables_have_the_columns_that_existing_queries_use(stack: Settings) -> None:
    found = columns(database_url(stack))
    for table, names in COLUMNS.items():
        missing = {name for name in names.split() if (table, name) not in found}
        assert not missing, table
    assert found["employees", "status"][1].startswith("'active'")
    assert found["employees", "is_authorized"][1] == "true"
    assert found["access_logs", "flagged"][1] == "false"
    assert found["access_logs", "track_id"][0] == "integer"
    assert found["detected_persons", "cameras_visited"][0] == "jsonb"
    naive = {at for at, (kind, _) in found.items() if kind == "timestamp without time zone"}
    assert not naive


def test_unique_columns(stack: Settings) -> None:
    with connect(stack) as connection:
        found = connection.execute(
            "SELECT table_name, column_name FROM information_schema.table_constraints"
            " JOIN information_schema.constraint_column_usage USING (constraint_name, table_name)"
            " WHERE constraint_type = 'UNIQUE'"
        ).fetchall()
    wanted = {("employees", name) for name in ("email", "employee_id_code", "aws_face_id")}
    assert wanted | {("detected_persons", "global_id")} <= set(found)


def test_migrations_go_up_down_and_up(stack: Settings) -> None:
    # In a database of its own: the others' tables stay.
    url = database_url(stack)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE up_and_down")
    own = url.removesuffix("/sightline") + "/up_and_down"
    env = {"DATABASE_URL": own}
    run(stack, "db", "upgrade", **env)
    first = columns(own)
    assert first.items() <= columns(url).items()
    run(stack, "db", "upgrade", **env)
    run(stack, "db", "downgrade", "base", **env)
    assert columns(own) == {}
    run(stack, "db", "upgrade", **env)
    assert columns(own) == first


def test_no_database_is_one_line(stack: Settings) -> None:
    result = run_sightline(
        stack.home, "db", "upgrade", check=False,
        env={"DATABASE_URL": "postgresql://postgres:x@127.0.0.1:1/sightline"},
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("sightline: the database does not answer")
    assert result.stderr.count("\n") == 1


def test_a_database_that_goes_away_as_it_is_connected_to_does_not_answer(
    stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def cut(db: Connection, _ring: object) -> None:
        opened.append(db)
        db.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr("sightline.storage.encryption_keys.check", cut)
    with pytest.raises(UnreachableError, match="the database does not answer"):
        connect(stack)
    assert opened[0].closed


def test_one_person_of_a_name_has_no_code(stack: Settings) -> None:
    """At most one: a name alone is then theirs."""
    insert = (
        "INSERT INTO employees (id, global_id, name, employee_id_code)"
        " VALUES (gen_random_uuid(), %s, 'Tables Twin', %s)"
    )
    with connect(stack) as connection:
        connection.execute(insert, (1, None))
        connection.execute(insert, (2, "tables-1"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(insert, (3, None))
        connection.rollback()
