"""`sightline logs`: read the logs that the sinks have written."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, LiteralString

import typer
from psycopg import sql
from psycopg.rows import dict_row

from ops.cli.audited import audited
from ops.terminal import JsonOption, print_rows, typed_time
from sightline.audit import trail
from sightline.people import employee_lookup
from sightline.people.one_of import ACCESS_NAME, VISIT_NAME
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

app = typer.Typer(name="logs", help="Access log, visitor log, and persons.", no_args_is_help=True)

_TRAIL_COLUMN = "audited person"
"""Column that is read for the audit trail, and not printed."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

PersonOption = Annotated[
    str | None, typer.Option("--person", help="Only this name, NAME (CODE), or code.")
]
IdentifiedOption = Annotated[
    bool | None,
    typer.Option(
        "--identified/--unidentified", help="Only people with an identity, or only those without."
    ),
]
CameraOption = Annotated[str | None, typer.Option("--camera", help="Only this camera.")]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", help="Not before: 2026-11-21T10:00 (+09:00), or 90s, 15m, 2h, 7d."),
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")]


@dataclass(frozen=True, slots=True)
class _Log:
    """Table of the sinks: its columns for JSON and for a terminal, and its filters."""

    title: str
    table: str
    json_columns: LiteralString
    columns: LiteralString
    person_condition: LiteralString
    employee_condition: LiteralString
    camera_condition: LiteralString
    time_column: LiteralString
    id_column: str


_ACCESS = _Log(
    title="Access log",
    table="access_logs",
    json_columns=(
        f"id, timestamp, {ACCESS_NAME} AS person_name, access_status, is_authorized, flagged,"
        " employee_id, global_id,"
        " camera_name(camera_id) AS camera_id, site_id, entry_point, confidence_score, score,"
        " threshold, pack, snapshot_path, track_id, track_uuid, epoch, motion_event_id,"
        " frame_topic, frame_partition, frame_offset, location_x, location_y, aws_face_id, notes,"
        " recorded_at, shots, runner_up, runner_up_score, candidate, candidate_score,"
        " wanted_rate, calibration, gallery_people, gallery_revision, reason,"
        " first_seen, face_attempts, refusals, global_id IS NOT NULL AS is_identified"
    ),
    columns=(
        f"timestamp AS time, {ACCESS_NAME} AS name,"
        " CASE WHEN global_id IS NULL THEN 'unidentified' ELSE access_status END AS access,"
        " camera_name(camera_id) AS camera, entry_point AS entry, confidence_score AS sure"
    ),
    person_condition="person_name = %s",
    employee_condition="employee_id = %s",
    camera_condition="camera_id = (SELECT camera_key(%s))",
    time_column="timestamp",
    id_column="id",
)

_ACCESS_REASONS = replace(
    _ACCESS,
    columns=(
        f"timestamp AS time, {ACCESS_NAME} AS name, camera_name(camera_id) AS camera,"  # noqa: S608 - ours
        " score, threshold, shots,"
        " (SELECT name FROM employees WHERE id::text = candidate) AS nearest,"
        " candidate_score AS scored, reason"
    ),
)
"""Access log with the evidence of each decision."""

_VISITORS = _Log(
    title="Visitor log",
    table="visitor_logs",
    json_columns=(
        f"visitor_log_id, visited_at, {VISIT_NAME} AS persons_name,"
        " camera_name(camera_name) AS camera_name,"
        " confidence_score, global_id, employee_id, motion_event_id, created_at,"
        " global_id IS NOT NULL AS is_identified"
    ),
    columns=(
        f"visited_at AS time, {VISIT_NAME} AS name, camera_name(camera_name) AS camera,"
        " confidence_score AS sure, global_id AS person"
    ),
    person_condition="persons_name = %s",
    employee_condition="employee_id = %s",
    camera_condition="camera_name = (SELECT camera_key(%s))",
    time_column="visited_at",
    id_column="visitor_log_id",
)

_PERSONS = _Log(
    title="Persons",
    table="detected_persons",
    json_columns=(
        "id, global_id, person_id, assigned_name, is_active, first_seen, last_seen,"
        " camera_names(cameras_visited) AS cameras_visited, current_room_id,"
        " by_camera_name(current_positions) AS current_positions, total_appearances,"
        " total_detections,"
        " avg_height_pixels, avg_width_pixels, avg_height_meters, face_quality, quality_scores,"
        " embedding_pack"
    ),
    columns=(
        "last_seen, coalesce(assigned_name, 'Unknown') AS name, global_id AS person,"
        " CASE WHEN is_active THEN 'yes' ELSE 'no' END AS here, total_appearances AS times,"
        " array_to_string(ARRAY(SELECT jsonb_array_elements_text(camera_names(cameras_visited))),"
        " ', ')"
        " AS cameras"
    ),
    person_condition="coalesce(assigned_name, 'Unknown') = %s",
    employee_condition="person_id = %s",
    camera_condition="cameras_visited ? (SELECT camera_key(%s))",
    time_column="last_seen",
    id_column="global_id",
)


@app.command()
@audited("logs.access")
def access(
    person: PersonOption = None,
    camera: CameraOption = None,
    identified: IdentifiedOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    why: Annotated[bool, typer.Option("--why", help="The evidence of each decision.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the access log, latest first: everybody that was seen, with an identity or without."""
    _print(
        _ACCESS_REASONS if why else _ACCESS,
        _Filter(person, camera, since, identified),
        limit,
        as_json,
    )


@app.command()
@audited("logs.visitors")
def visitors(
    person: PersonOption = None,
    camera: CameraOption = None,
    identified: IdentifiedOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List the visitor log, latest first: the persons of each motion event."""
    _print(_VISITORS, _Filter(person, camera, since, identified), limit, as_json)


@app.command()
@audited("logs.persons")
def persons(
    person: PersonOption = None,
    camera: CameraOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List all persons that were seen, over all cameras, last seen first."""
    _print(_PERSONS, _Filter(person, camera, since), limit, as_json)


@dataclass(frozen=True, slots=True)
class _Filter:
    """Rows of a log that are printed; None of each: all."""

    person: str | None
    camera: str | None
    since: str | None
    is_identified: bool | None = None


def _print(log: _Log, row_filter: _Filter, limit: int, as_json: bool) -> None:
    """Print the rows of a log that pass the filters, and record their persons in the trail."""
    settings = load_settings()
    with connect(settings) as connection:
        called, employee = (
            employee_lookup.name_or_employee(connection.cursor(), row_filter.person)
            if row_filter.person
            else (None, None)
        )
    possible_filters = [
        (log.person_condition, called),
        (log.employee_condition, employee),
        (log.camera_condition, row_filter.camera),
        ("(global_id IS NOT NULL) = %s", row_filter.is_identified),
        (f"{log.time_column} >= %s", parse_time(row_filter.since)),
    ]
    filters = [(condition, value) for condition, value in possible_filters if value is not None]
    query = sql.SQL("SELECT {}, global_id AS {} FROM {} WHERE {} ORDER BY {} DESC, {} LIMIT %s")
    composed = query.format(
        sql.SQL(log.json_columns if as_json else log.columns),
        sql.Identifier(_TRAIL_COLUMN),
        sql.Identifier(log.table),
        sql.SQL(" AND ".join(condition for condition, _value in filters) or "true"),
        sql.Identifier(log.time_column),
        sql.Identifier(log.id_column),
    )
    values = [*(value for _condition, value in filters), limit]
    with connect(settings) as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(composed, values).fetchall()
    persons_shown = [row.pop(_TRAIL_COLUMN) for row in rows]
    trail.write_before_showing(persons=list(filter(None, persons_shown)), rows=len(rows))
    print_rows(rows, title=log.title, as_json=as_json)


def parse_time(text: str | None, option: str = "--since") -> datetime | None:
    """Return the moment of an ISO time, or of a time span before now, such as `90s` or `7d`.

    Raises SightlineError that names the option.
    """
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    try:
        if unit in _UNITS:
            return datetime.now(UTC) - timedelta(**{_UNITS[unit]: float(number)})
        return typed_time(text)
    except (ValueError, OverflowError):
        raise SightlineError(
            f"{option} {text[:40]}: give 2026-11-21T10:00, or 90s, 15m, 2h, 7d"
        ) from None
