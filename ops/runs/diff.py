"""How two passes over the same frames differ: tracks that only one has, names, what they rest on.

Compared is what was decided, and from which frames; not when it was written, nor under which key
a picture lies, nor how many were enrolled by then. Tracks that stayed nobody are none: they are
forgotten after a day.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from psycopg import sql

from ops.runs import row_location
from ops.runs.pairs import paired
from sightline.storage import face_columns
from sightline.storage.db import Connection

Row = dict[str, Any]
Kind = Literal["only in a", "only in b", "name", "details"]

_WHO = ("person_name", "global_id", "access_status")
_TOLD = ("id", "track_uuid", "epoch", "camera_id", "timestamp", *_WHO, "snapshot_path")

_SIGHTINGS = sql.SQL("""
SELECT id::text, track_uuid::text, epoch, camera_id, timestamp, person_name, global_id,
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
SELECT visitor_log_id::text AS id, camera_name AS camera_id, visited_at AS timestamp,
    persons_name AS person_name, global_id, confidence_score, employee_id::text,
    motion_event_id::text
FROM {} AS visit WHERE motion_event_id = ANY(%s::uuid[]) ORDER BY visited_at, visitor_log_id
""")


@dataclass(frozen=True, slots=True)
class Difference:
    """One sighting, or one visit, on which two passes do not agree."""

    kind: Kind
    camera: str
    a: Row | None
    b: Row | None
    changed: tuple[str, ...] = ()
    """The columns that differ, where both have it; the ids among them: it is another track."""


@dataclass(frozen=True, slots=True)
class Diff:
    """What two passes say of the motion events that both are over."""

    a: str
    b: str
    events: int
    sightings: tuple[int, int]
    visits: tuple[int, int]
    by_person: list[Row] = field(default_factory=list)
    """Camera, person, sightings of theirs in a and in b, where any of these differ."""
    differences: list[Difference] = field(default_factory=list)
    visit_differences: list[Difference] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether the two say the same."""
        return not self.differences and not self.visit_differences

    def told(self) -> Row:
        """All of it, as JSON has it."""
        return {"empty": self.empty} | asdict(self)


def diff(db: Connection, a: str, b: str) -> Diff:
    """Compare two passes. Raises NotFoundError, and ConflictError for a run that is unfinished."""
    events = row_location.common_events(db, a, b)
    ours, theirs = (_sightings(db, run, events) for run in (a, b))
    visits = [row_location.read(db, run, "visitor_logs", _VISITS, events) for run in (a, b)]
    found = compare(ours, theirs)
    return Diff(
        a=a,
        b=b,
        events=len(events),
        sightings=(len(ours), len(theirs)),
        visits=(len(visits[0]), len(visits[1])),
        by_person=by_person(ours, theirs, found),
        differences=[_brief(one) for one in found],
        visit_differences=compare(*visits),
    )


def compare(ours: Sequence[Row], theirs: Sequence[Row]) -> list[Difference]:
    """The rows that differ, in the order of time.

    Two go together by their `id`, or as `pairs` says.
    """
    a, b = ({row["id"]: row for row in rows} for rows in (ours, theirs))
    other = dict(paired(ours, theirs))
    found = [_compared(row, b.get(other.get(key, key))) for key, row in a.items()]
    met = a.keys() | set(other.values())
    found += [_compared(None, row) for key, row in b.items() if key not in met]
    return sorted((one for one in found if one), key=_when)


def by_person(ours: Iterable[Row], theirs: Iterable[Row], found: Iterable[Difference]) -> list[Row]:
    """How often each pass saw the people on whom they do not agree, by camera."""
    a, b = (Counter(_person_at(row) for row in rows) for rows in (ours, theirs))
    apart = [one for one in found if one.kind != "details"]
    touched = {_person_at(row) for one in apart for row in (one.a, one.b) if row}
    return [
        {"camera": camera, "person": name, "global_id": person, "a": a[at], "b": b[at]}
        for at in sorted(touched)
        for camera, name, person in [at]
    ]


def _sightings(db: Connection, run: str, events: Sequence[str]) -> list[Row]:
    """The rows of the access log, each with what its track adds up to."""
    tracks = row_location.read(db, run, "person_tracks", _TRACKS, events)
    by_id = {track["track_uuid"]: _with_face(db, track) for track in tracks}
    rows = row_location.read(db, run, "access_logs", _SIGHTINGS, events)
    return [row | by_id.get(row["track_uuid"], {}) for row in rows]


def _with_face(db: Connection, track: Row) -> Row:
    """The face as it is: sealed twice it is not the same twice."""
    columns = (track.pop("embedding"), track.pop("embedding_sealed"))
    face = face_columns.from_columns(
        db.cursor(), face_columns.of_track(track["track_uuid"]), *columns
    )
    return track | {"embedding": None if face is None else face.tobytes()}


def _compared(a: Row | None, b: Row | None) -> Difference | None:
    if a is None or b is None:
        row: Row = a or b or {}
        return Difference("only in b" if a is None else "only in a", row["camera_id"], a, b)
    changed = tuple(
        name for name in a | b if name != "snapshot_path" and a.get(name) != b.get(name)
    )
    if not changed:
        return None
    kind: Kind = "name" if set(changed) & set(_WHO) else "details"
    return Difference(kind, a["camera_id"], a, b, changed)


def _brief(one: Difference) -> Difference:
    """What tells a sighting, and what of it differs; no embeddings."""
    wanted = (set(_TOLD) | set(one.changed)) - {"embedding"}
    a, b = (_only(row, wanted) for row in (one.a, one.b))
    return Difference(one.kind, one.camera, a, b, one.changed)


def _only(row: Mapping[str, Any] | None, wanted: set[str]) -> Row | None:
    return None if row is None else {name: row[name] for name in row if name in wanted}


def _when(one: Difference) -> tuple[Any, str]:
    row: Row = one.a or one.b or {}
    return row["timestamp"], row["id"]


def _person_at(row: Row) -> tuple[str, str, int]:
    return row["camera_id"], row["person_name"], row["global_id"]
