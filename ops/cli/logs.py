"""`sightline logs`: what the sinks have written, read back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from psycopg import sql
from psycopg.rows import dict_row

from ops.cli.audited import audited
from ops.terminal import JsonOption, print_rows
from sightline.audit import trail
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

app = typer.Typer(help="Who was where and when.", no_args_is_help=True)

_WHOSE = "whose row"
"""A column that is read, and not shown."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

PersonOption = Annotated[str | None, typer.Option("--person", help="Only this name.")]
CameraOption = Annotated[str | None, typer.Option("--camera", help="Only this camera.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Not before: 2026-11-21T10:00, or 90s, 15m, 2h, 7d.")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="logs")


@app.command()
@audited("logs.access")
def access(
    person: PersonOption = None,
    camera: CameraOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    why: Annotated[bool, typer.Option("--why", help="What each decision rests on.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Every time somebody was recognised, or seen and not known; latest first."""
    shown = (
        "timestamp AS time, person_name AS name, access_status AS access, camera_id AS camera,"
        " entry_point AS entry, confidence_score AS sure"
    )
    if why:
        shown = (
            "timestamp AS time, person_name AS name, camera_id AS camera, score, threshold, shots,"
            " (SELECT name FROM employees WHERE id::text = candidate) AS nearest,"
            " candidate_score AS scored, reason"
        )
    told = (
        "id, timestamp, person_name, access_status, is_authorized, flagged, employee_id, global_id,"
        " camera_id, site_id, entry_point, confidence_score, score, threshold, pack, snapshot_path,"
        " track_id, track_uuid, epoch, motion_event_id, frame_topic, frame_partition, frame_offset,"
        " location_x, location_y, aws_face_id, notes, recorded_at, shots, runner_up,"
        " runner_up_score, candidate, candidate_score, wanted_rate, calibration, gallery_people,"
        " gallery_revision, reason"
    )
    rows = _read(
        "access_logs",
        told if as_json else shown,
        [
            ("person_name = %s", person),
            ("camera_id = %s", camera),
            ("timestamp >= %s", moment(since)),
        ],
        "timestamp DESC, id",
        limit,
    )
    print_rows(rows, title="Access log", as_json=as_json)


@app.command()
@audited("logs.visitors")
def visitors(
    person: PersonOption = None,
    camera: CameraOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Who was there during which motion; latest first."""
    shown = (
        "visited_at AS time, persons_name AS name, camera_name AS camera, confidence_score AS sure,"
        " global_id AS person"
    )
    told = (
        "visitor_log_id, visited_at, persons_name, camera_name, confidence_score, global_id,"
        " employee_id, motion_event_id, created_at"
    )
    rows = _read(
        "visitor_logs",
        told if as_json else shown,
        [
            ("persons_name = %s", person),
            ("camera_name = %s", camera),
            ("visited_at >= %s", moment(since)),
        ],
        "visited_at DESC, visitor_log_id",
        limit,
    )
    print_rows(rows, title="Visitor log", as_json=as_json)


@app.command()
@audited("logs.persons")
def persons(
    person: PersonOption = None,
    camera: CameraOption = None,
    since: SinceOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Everybody who was seen, over all cameras; last seen first."""
    shown = (
        "last_seen, coalesce(assigned_name, 'Unknown') AS name, global_id AS person,"
        " CASE WHEN is_active THEN 'yes' ELSE 'no' END AS here, total_appearances AS times,"
        " array_to_string(ARRAY(SELECT jsonb_array_elements_text(cameras_visited)), ', ')"
        " AS cameras"
    )
    told = (
        "id, global_id, person_id, assigned_name, is_active, first_seen, last_seen,"
        " cameras_visited, current_room_id, current_positions, total_appearances, total_detections,"
        " avg_height_pixels, avg_width_pixels, avg_height_meters, face_quality, quality_scores,"
        " embedding_pack"
    )
    rows = _read(
        "detected_persons",
        told if as_json else shown,
        [
            ("coalesce(assigned_name, 'Unknown') = %s", person),
            ("cameras_visited ? %s", camera),
            ("last_seen >= %s", moment(since)),
        ],
        "last_seen DESC, global_id",
        limit,
    )
    print_rows(rows, title="People", as_json=as_json)


def _read(
    table: str, columns: str, conditions: Sequence[tuple[str, object]], order: str, limit: int
) -> list[dict[str, Any]]:
    """Rows of a table; a condition without a value is left out. The trail has whose they are."""
    asked = [(condition, value) for condition, value in conditions if value is not None]
    where = " AND ".join(condition for condition, _value in asked) or "true"
    query = sql.SQL("SELECT {}, global_id AS {} FROM {} WHERE {} ORDER BY {} LIMIT %s").format(
        sql.SQL(columns),
        sql.Identifier(_WHOSE),
        sql.Identifier(table),
        sql.SQL(where),
        sql.SQL(order),
    )
    with connect(load_settings()) as connection, connection.cursor(row_factory=dict_row) as cursor:
        wanted = [*(value for _condition, value in asked), limit]
        rows = cursor.execute(query, wanted).fetchall()
    trail.shown(persons=[row.pop(_WHOSE) for row in rows], rows=len(rows))
    return rows


def moment(since: str | None, option: str = "--since") -> datetime | None:
    """A moment, or a time before now. Raises SightlineError that names the option."""
    if since is None:
        return None
    number, unit = since[:-1], since[-1:]
    try:
        if unit in _UNITS:
            return datetime.now(UTC) - timedelta(**{_UNITS[unit]: float(number)})
        return datetime.fromisoformat(since).astimezone()  # without a zone: local time
    except (ValueError, OverflowError):
        raise SightlineError(
            f"{option} {since[:40]}: give 2026-11-21T10:00, or 90s, 15m, 2h, 7d"
        ) from None
