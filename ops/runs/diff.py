"""Differences of two runs over the same frames: tracks of one run alone, names, evidence.

Decisions and their frames are compared; not the time of writing, the key of a picture, or the
number of enrolled persons. Tracks without an identity are left out: they are forgotten after a day.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from psycopg import sql

from ops.runs import row_location
from ops.runs.sighting_pairs import paired
from schemas.naming import track_context
from sightline.storage import face_columns
from sightline.storage.db import Connection

Row = dict[str, Any]
Kind = Literal["only in a", "only in b", "name", "details"]

_IDENTITY_COLUMNS = ("person_name", "global_id", "access_status")
_REPORTED_COLUMNS = {
    *_IDENTITY_COLUMNS, "id", "track_uuid", "epoch", "camera_id", "timestamp", "snapshot_path",
}  # fmt: skip

_SIGHTINGS = sql.SQL("""
SELECT id::text, track_uuid::text, epoch, public.camera_name(camera_id) AS camera_id,
    timestamp, person_name, global_id,
    access_status, snapshot_path, track_id, employee_id::text, confidence_score, score, threshold,
    pack, shots, runner_up, runner_up_score, candidate, candidate_score, wanted_rate, calibration,
    reason, frame_topic, frame_partition, frame_offset, face_box, location_x, location_y,
    motion_event_id::text
FROM {} AS log WHERE motion_event_id = ANY(%s::uuid[]) ORDER BY timestamp, id
""")

_TRACKS = sql.SQL("""
SELECT track_uuid::text, first_seen, last_seen, detections, sum_height, sum_width, last_box,
    face_quality, embedding, embedding_sealed
FROM {} AS track WHERE motion_event_id = ANY(%s::uuid[]) AND global_id IS NOT NULL
""")

_VISITS = sql.SQL("""
SELECT visitor_log_id::text AS id, public.camera_name(camera_name) AS camera_id,
    visited_at AS timestamp,
    persons_name AS person_name, global_id, confidence_score, employee_id::text,
    motion_event_id::text
FROM {} AS visit WHERE motion_event_id = ANY(%s::uuid[]) ORDER BY visited_at, visitor_log_id
""")


@dataclass(frozen=True, slots=True)
class Difference:
    """Sighting or visit on which two runs differ."""

    kind: Kind
    camera: str
    a: Row | None
    b: Row | None
    changed: tuple[str, ...] = ()
    """Columns that differ, if both runs have the row; with the ids it is another track."""


@dataclass(frozen=True, slots=True)
class Diff:
    """Differences of two runs over the motion events that both have."""

    a: str
    b: str
    events: int
    sightings: tuple[int, int]
    visits: tuple[int, int]
    by_person: list[Row] = field(default_factory=list)
    """Camera, person, and their sightings in a and in b, where any of these differ."""
    differences: list[Difference] = field(default_factory=list)
    visit_differences: list[Difference] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """True if the two runs are equal."""
        return not self.differences and not self.visit_differences

    def fields(self) -> Row:
        """Return all fields for JSON."""
        return {"empty": self.empty} | asdict(self)


def diff(db: Connection, a: str, b: str) -> Diff:
    """Compare two runs. Raises NotFoundError, and ConflictError for an unfinished run."""
    events = row_location.common_events(db, a, b)
    rows_a, rows_b = (_sightings(db, run, events) for run in (a, b))
    visits = [row_location.read(db, run, "visitor_logs", _VISITS, events) for run in (a, b)]
    differences = compare(rows_a, rows_b)
    return Diff(
        a=a,
        b=b,
        events=len(events),
        sightings=(len(rows_a), len(rows_b)),
        visits=(len(visits[0]), len(visits[1])),
        by_person=by_person(rows_a, rows_b, differences),
        differences=[_brief(difference) for difference in differences],
        visit_differences=compare(*visits),
    )


def compare(rows_a: Sequence[Row], rows_b: Sequence[Row]) -> list[Difference]:
    """Return the rows that differ, ordered by time.

    Rows are paired by their `id`, else by `pairs`.
    """
    a, b = ({row["id"]: row for row in rows} for rows in (rows_a, rows_b))
    partner = dict(paired(rows_a, rows_b))
    differences = [_difference(row, b.get(partner.get(key, key))) for key, row in a.items()]
    paired_ids = a.keys() | set(partner.values())
    differences += [_difference(None, row) for key, row in b.items() if key not in paired_ids]
    return sorted((difference for difference in differences if difference), key=_sort_key)


def by_person(
    rows_a: Iterable[Row], rows_b: Iterable[Row], differences: Iterable[Difference]
) -> list[Row]:
    """Count the sightings of each run by camera and person, for persons who differ."""
    a, b = (Counter(_cell(row) for row in rows) for rows in (rows_a, rows_b))
    of_identity = [difference for difference in differences if difference.kind != "details"]
    sides = [row for difference in of_identity for row in (difference.a, difference.b)]
    cells = {_cell(row) for row in sides if row}
    return [
        {"camera": camera, "person": name, "global_id": person, "a": a[cell], "b": b[cell]}
        for cell in sorted(cells)
        for camera, name, person in [cell]
    ]


def _sightings(db: Connection, run: str, events: Sequence[str]) -> list[Row]:
    """Return the rows of the access log, each with the columns of its track."""
    tracks = row_location.read(db, run, "person_tracks", _TRACKS, events)
    by_id = {track["track_uuid"]: _with_face(db, track) for track in tracks}
    rows = row_location.read(db, run, "access_logs", _SIGHTINGS, events)
    return [row | by_id.get(row["track_uuid"], {}) for row in rows]


def _with_face(db: Connection, track: Row) -> Row:
    """Return a track with its decrypted face: ciphertexts of equal faces differ."""
    columns = (track.pop("embedding"), track.pop("embedding_sealed"))
    face = face_columns.from_columns(db.cursor(), track_context(track["track_uuid"]), *columns)
    return track | {"embedding": None if face is None else face.tobytes()}


def _difference(a: Row | None, b: Row | None) -> Difference | None:
    if a is None or b is None:
        row: Row = a or b or {}
        return Difference("only in b" if a is None else "only in a", row["camera_id"], a, b)
    names = [name for name in a | b if a.get(name) != b.get(name)]
    changed = tuple(name for name in names if name != "snapshot_path")
    if not changed:
        return None
    kind: Kind = "name" if set(changed) & set(_IDENTITY_COLUMNS) else "details"
    return Difference(kind, a["camera_id"], a, b, changed)


def _brief(difference: Difference) -> Difference:
    """Return a difference with the identifying columns and those that differ; no embeddings."""
    columns = (_REPORTED_COLUMNS | set(difference.changed)) - {"embedding"}
    a, b = (_select(row, columns) for row in (difference.a, difference.b))
    return Difference(difference.kind, difference.camera, a, b, difference.changed)


def _select(row: Mapping[str, Any] | None, columns: set[str]) -> Row | None:
    return None if row is None else {name: row[name] for name in row if name in columns}


def _sort_key(difference: Difference) -> tuple[Any, str]:
    row: Row = difference.a or difference.b or {}
    return row["timestamp"], row["id"]


def _cell(row: Row) -> tuple[str, str, int]:
    return row["camera_id"], row["person_name"], row["global_id"]
