"""Lists and removals read what they need by an index, however many rows there are."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import sql

from api.pagination import Conditions, Table, read_page
from api.routes import persons, sightings, visits
from ops.database.migrate import downgrade, upgrade
from sightline.runtime.settings import Settings
from sightline.storage.camera_names import CAMERA_PARAMETER
from sightline.storage.db import Connection, connect
from tests.sealed import beside

pytestmark = pytest.mark.stack

ROWS = 20_000
PAGE = 100

_EMPLOYEES = """
INSERT INTO employees (id, global_id, name)
SELECT gen_random_uuid(), n, 'Employee ' || n FROM generate_series(1, 100) n
"""

# The first rows, which are the oldest, are of a camera and a site that have no others.
_ACCESS_LOGS = """
INSERT INTO access_logs (
    id, track_id, person_name, employee_id, is_authorized, access_status, confidence_score,
    timestamp, track_uuid, epoch, camera_id, site_id, global_id, score, threshold, pack,
    frame_topic, frame_partition, frame_offset, face_box, decision)
SELECT gen_random_uuid(), 1, coalesce(employee.name, 'Unknown'), employee.id, true, 'authorized',
    0.9, '2026-01-01'::timestamptz + n * interval '1 min', gen_random_uuid(), 0,
    CASE WHEN n <= 50 THEN 'quiet' ELSE 'camera-' || n %% 200 END,
    CASE WHEN n <= 50 THEN 'quiet' ELSE 'site-' || n %% 100 END,
    n, 0.7, 0.5, 'pack', 'frames', 0, n, '{}', 2
FROM generate_series(1, %(rows)s) n LEFT JOIN employees employee ON employee.global_id = n %% 200
"""

_EVENTS = """
INSERT INTO motion_events (event_id, camera_id, started_at)
SELECT gen_random_uuid(), CASE WHEN n <= 50 THEN 'quiet' ELSE 'camera-' || n %% 200 END,
    '2026-01-01'::timestamptz + n * interval '1 min'
FROM generate_series(1, %(rows)s) n
"""

_VISITS = """
INSERT INTO visitor_logs (
    visitor_log_id, camera_name, persons_name, confidence_score, visited_at, motion_event_id,
    employee_id, global_id)
SELECT gen_random_uuid(), event.camera_id, coalesce(employee.name, 'Unknown'), 0.9,
    event.started_at, event.event_id, employee.id, n
FROM (SELECT *, row_number() OVER () AS n FROM motion_events) AS event
LEFT JOIN employees employee ON employee.global_id = n % 200
"""

_PERSONS = """
INSERT INTO detected_persons (global_id, first_seen, last_seen, is_active)
SELECT n, '2026-01-01', '2026-01-01'::timestamptz + n * interval '1 min', false
FROM generate_series(1, %(rows)s) n
"""


@pytest.fixture(scope="module")
def filled(plain_stack: Settings) -> Iterator[Connection]:
    """A database of its own with many rows in the tables that grow."""
    with beside(plain_stack) as own, connect(own, autocommit=True) as db:
        db.execute(_EMPLOYEES)
        for statement in (_ACCESS_LOGS, _EVENTS, _PERSONS):
            db.execute(statement, {"rows": ROWS})
        db.execute(_VISITS)
        db.execute("ANALYZE")
        yield db


@pytest.mark.parametrize(
    ("table", "conditions", "index"),
    [
        (sightings.TABLE, [], "access_logs_time"),
        (sightings.TABLE, [(f"camera_id = {CAMERA_PARAMETER}", "camera-7")], "access_logs_camera"),
        (sightings.TABLE, [(f"camera_id = {CAMERA_PARAMETER}", "quiet")], "access_logs_camera"),
        (sightings.TABLE, [("camera_id = ANY(%s)", ["quiet"])], "access_logs_camera"),
        (sightings.TABLE, [("site_id = %s", "site-1")], "access_logs_site"),
        (sightings.TABLE, [("site_id = %s", "quiet")], "access_logs_site"),
        (visits._TABLE, [], "visitor_logs_time"),
        (visits._TABLE, [("persons_name = %s", "Employee 7")], "visitor_logs_name"),
        (visits._TABLE, [("persons_name = %s", "nobody")], "visitor_logs_name"),
        (
            visits._TABLE,
            [(f"camera_name = {CAMERA_PARAMETER}", "camera-7")],
            "visitor_logs_camera",
        ),
        (visits._TABLE, [(f"camera_name = {CAMERA_PARAMETER}", "quiet")], "visitor_logs_camera"),
        (persons.TABLE, [], "detected_persons_seen"),
    ],
)
def test_a_page_is_read_by_an_index(
    filled: Connection, table: Table, conditions: Conditions, index: str
) -> None:
    _rows, after = read_page(filled, table, conditions, PAGE // 10, None)
    for cursor in {None, after}:
        query, values = table.query(conditions, cursor)
        nodes = list(plan(filled, query + sql.SQL(" LIMIT %s"), [*values, PAGE + 1]))
        scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
        assert table.source not in scanned  # names are from small tables
        assert index in {node.get("Index Name") for node in nodes}


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("access_logs", "employee_id"),
        ("visitor_logs", "employee_id"),
        ("detected_persons", "person_id"),
    ],
)
def test_what_names_an_employee_is_found_by_an_index(
    filled: Connection, table: str, column: str
) -> None:
    theirs = sql.SQL("SELECT FROM {} WHERE {} = (SELECT id FROM employees WHERE global_id = %s)")
    query = theirs.format(sql.Identifier(table), sql.Identifier(column))
    nodes = list(plan(filled, query, [7]))
    read = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    assert table not in read


def plan(db: Connection, query: sql.Composable, values: list[object]) -> Iterator[dict[str, Any]]:
    """The nodes of a query's plan."""
    row = db.execute(sql.SQL("EXPLAIN (FORMAT JSON) ") + query, values).fetchone()
    assert row is not None
    left = [row[0][0]["Plan"]]
    while left:
        node = left.pop()
        left += node.get("Plans", [])
        yield node


_NOT_INDEXED = """
SELECT key.conrelid::regclass::text || ': ' || pg_get_constraintdef(key.oid)
FROM pg_constraint key
WHERE key.contype = 'f' AND key.connamespace = 'public'::regnamespace AND NOT EXISTS (
    SELECT FROM pg_index index
    WHERE index.indrelid = key.conrelid AND index.indisvalid
        AND (index.indkey::smallint[])[0:cardinality(key.conkey) - 1] @> key.conkey
        -- Rows that point to nothing may be left out.
        AND coalesce(pg_get_expr(index.indpred, index.indrelid) = (
            SELECT format('(%I IS NOT NULL)', attname) FROM pg_attribute
            WHERE attrelid = key.conrelid AND attnum = key.conkey[1]), true)
)
ORDER BY 1
"""


def test_every_reference_is_followed_by_an_index(stack: Settings) -> None:
    """Or whoever removes a row reads the whole of each table that points to its table."""
    with connect(stack) as db:
        assert [row[0] for row in db.execute(_NOT_INDEXED)] == []


def test_an_upgrade_that_was_interrupted_makes_its_indexes_anew(plain_stack: Settings) -> None:
    with beside(plain_stack) as own:
        downgrade(own, "0009")
        with connect(own, autocommit=True) as db:
            db.execute("CREATE INDEX access_logs_camera ON access_logs (notes)")
            db.execute(
                "UPDATE pg_index SET indisvalid = false"
                " WHERE indexrelid = 'access_logs_camera'::regclass"
            )
        upgrade(own)
        with connect(own) as db:
            row = db.execute("SELECT pg_get_indexdef('access_logs_camera'::regclass)").fetchone()
    assert row is not None
    assert row[0].endswith('(camera_id, "timestamp", id)')
