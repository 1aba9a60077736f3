"""Backup and restore of everybody's faces: who is enrolled, whom the cameras have met, and what
people have said of them. Photos, snapshots and logs are not in it."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from ops.backup import employee_archive
from ops.erasure.restore_filter import leave_out
from schemas import sightline_pb2 as pb
from schemas.topics import FACTS, GALLERY
from sightline.people import employees, identity_corrections, reference_facts
from sightline.people.employees import Cursor
from sightline.people.encrypted_columns import FACES, count_keys, seal
from sightline.runtime.clock import SystemClock, to_datetime
from sightline.runtime.errors import ConflictError, SightlineError, first_line
from sightline.runtime.settings import Settings
from sightline.storage.db import connect, sealing_of
from sightline.storage.encryption_keys import PLAIN
from sightline.storage.outbox import enqueue_all
from sightline.streaming.read import read_all

_CHUNK = 1 << 16

# Parents before children. What is deleted before the backup's rows come, for they are a whole;
# of the other tables the rows that the backup does not know stay.
_TABLES = {
    "employees": ("id",),
    "face_templates": ("template_id",),
    "person_tracks": ("track_uuid",),
    "detected_persons": ("global_id",),
    "corrections": ("correction_id",),
    "track_corrections": ("track_uuid",),
    "person_aliases": ("global_id",),
    "person_names": ("global_id",),
    "not_same": ("global_id", "other_global_id"),
}
"""Tables and their keys."""

_REPLACED = ("not_same", "person_names", "person_aliases", "track_corrections", "corrections",
             "face_templates")  # fmt: skip

_ROWS = {"person_tracks": "WHERE num_nonnulls(embedding, embedding_sealed) > 0"}
"""Tracks without a face come back by themselves, or never."""

_SEALED = {face.table: (face.place.sealed, face.place.known_as) for face in FACES}
"""Columns that a backup of before has not."""

_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = %s AND is_identity = 'NO' ORDER BY ordinal_position
"""

_LOOKS_OF_A_STRANGER = 5
"""As many tracks of one are told to the matchers, the best."""

# Corrected tracks are told as what they are: corrections.
_STRANGERS = """
SELECT track_uuid::text, site_id, global_id, pack, embedding, embedding_sealed, face_quality,
    epoch, first_seen, last_seen
FROM (
    SELECT track.*, row_number() OVER (
        PARTITION BY track.global_id, track.pack
        ORDER BY track.face_quality DESC, track.track_uuid) AS place
    FROM restored_person_tracks restored JOIN person_tracks track USING (track_uuid)
    WHERE track.site_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM employees WHERE employees.global_id = track.global_id)
        AND NOT EXISTS (SELECT FROM track_corrections said
            WHERE said.track_uuid = track.track_uuid)) AS looks
WHERE place <= %s
"""

_SAID_OF = """
SELECT global_id FROM person_aliases UNION SELECT into_global_id FROM person_aliases
UNION SELECT global_id FROM person_names
UNION SELECT global_id FROM not_same UNION SELECT other_global_id FROM not_same
UNION SELECT (details ->> 'global_id')::bigint FROM corrections WHERE kind = 'forget'
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """How many there were in a backup."""

    people: int
    templates: int
    met: int  # people whom the cameras have met, enrolled or not
    tracks: int


def _saved(tables: Mapping[str, int]) -> Saved:
    return Saved(
        people=tables["employees"],
        templates=tables["face_templates"],
        met=tables["detected_persons"],
        tracks=tables["person_tracks"],
    )


def backup(settings: Settings, path: Path) -> Saved:
    """Write everybody's faces into one file, all of one moment.

    Raises SightlineError where it cannot be written. The file holds biometric data: it is
    readable by its owner alone. Faces that are sealed stay so in it; others are not encrypted.
    """
    with connect(settings) as db, employee_archive.written(path) as file:
        db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        cursor = db.cursor()
        counts = {table: _dump(cursor, file, table) for table in _TABLES}
        made_at = to_datetime(SystemClock().now_us()).isoformat()
        employee_archive.write_manifest(file, made_at, counts, sorted(_keys(cursor)))
    return _saved(counts)


def _keys(cursor: Cursor) -> set[str]:
    return {
        key
        for face in FACES
        for key, _count in count_keys(cursor.connection, face, ("public", face.table))
        if key != PLAIN
    }


def _dump(cursor: Cursor, file: zipfile.ZipFile, table: str) -> int:
    rows = sql.SQL("SELECT {columns} FROM {table} {rows} ORDER BY {key}").format(
        columns=_identifiers(_columns(cursor, table)),
        table=sql.Identifier(table),
        rows=sql.SQL(_ROWS.get(table, "")),
        key=_identifiers(_TABLES[table]),
    )
    query = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER)").format(rows)
    with file.open(f"{table}.csv", "w", force_zip64=True) as out, cursor.copy(query) as copy:
        for chunk in copy:
            out.write(chunk)
    return cursor.rowcount


def restore(settings: Settings, path: Path, *, replace: bool = False) -> Saved:
    """Bring back everybody of a backup, all of it or nothing, and tell the matchers.

    With `replace` who is enrolled and not in it is removed, and what people have said since is
    taken back; whom the cameras have met since stays. Faces are sealed with the key of now.
    Raises SightlineError for a file that is damaged, cut off or of another version, ConflictError
    where there are people already, and MissingKeyError for one that is sealed with another key.
    """
    with employee_archive.checked(path) as (file, manifest):
        if set(manifest.tables) != set(_TABLES):
            raise SightlineError(f"{path} does not hold the tables of this version")
        published = _published(settings)
        with connect(settings, autocommit=True) as db, db.transaction():
            cursor = db.cursor()
            _refuse_without_keys(cursor, path, manifest.keys)
            identity_corrections.lock(cursor)
            employees.lock_enrolment(cursor)
            if not replace:
                _refuse_people(cursor)
            try:
                _apply(cursor, file, published)
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                raise SightlineError(
                    f"{path} does not fit this installation: {first_line(error)}"
                ) from error
    return _saved(manifest.tables)


def _published(settings: Settings) -> dict[str, int]:
    """Revisions of those whom the matchers know, by person id."""
    known: dict[str, int] = {}
    for record in read_all(settings, GALLERY):
        key = (record.key or b"").decode()
        if record.value is None:
            known.pop(key, None)
        else:
            known[key] = pb.GalleryPerson.FromString(record.value).revision
    return known


def _refuse_without_keys(cursor: Cursor, path: Path, keys: Sequence[str]) -> None:
    for key in keys:
        sealing_of(cursor).ring_for(bytes.fromhex(key), str(path))


def _refuse_people(cursor: Cursor) -> None:
    for table in ("employees", "detected_persons", "corrections"):
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table)))
        if cursor.fetchone() == (True,):
            raise ConflictError(
                "there are people here already; --replace puts those of the backup in their place"
            )


def _apply(cursor: Cursor, file: zipfile.ZipFile, published: Mapping[str, int]) -> None:
    columns = {table: _load(cursor, file, table) for table in _TABLES}
    _seal(cursor)
    leave_out(cursor)
    said_of, said_tracks = _said_of(cursor), _corrected(cursor)
    gone = _remove_others(cursor)
    for table in _REPLACED:
        cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    # Two may have changed names or addresses since.
    cursor.execute(
        "UPDATE employees SET name = id::text, email = NULL, employee_id_code = NULL,"
        " aws_face_id = NULL WHERE id IN (SELECT id FROM restored_employees)"
    )
    for table, names in columns.items():
        _upsert(cursor, table, names)
    removed = (set(gone) | set(published)) - set(_publish(cursor, published))
    enqueue_all(cursor, GALLERY.name, [(person, None) for person in sorted(removed)])
    _tell(cursor, said_of, said_tracks)


def _load(cursor: Cursor, file: zipfile.ZipFile, table: str) -> list[str]:
    """Read a table into one of its own, `restored_` in front; its columns."""
    with file.open(f"{table}.csv") as rows:
        names = rows.readline().decode().strip().split(",")
        unknown = set(names) - set(_columns(cursor, table))
        if unknown:
            raise SightlineError(f"the backup's {table} has columns that are not known here")
        restored = sql.Identifier(f"restored_{table}")
        columns = [*names, *(one for one in _SEALED.get(table, ()) if one not in names)]
        cursor.execute(
            sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
                restored, _identifiers(columns), sql.Identifier(table)
            )
        )
        into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)")
        with cursor.copy(into.format(restored, _identifiers(names))) as copy:
            while chunk := rows.read(_CHUNK):
                copy.write(chunk)
    return columns


def _seal(cursor: Cursor) -> None:
    """Seal the faces that were read, where that is set."""
    ring = sealing_of(cursor).ring()
    if ring is None:
        return
    for face in FACES:
        restored = sql.Identifier(f"restored_{face.table}")
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(sql.Identifier(face.key), restored))
        seal(cursor, ring, face, restored, [row[0] for row in cursor])


def _upsert(cursor: Cursor, table: str, names: Sequence[str]) -> None:
    changes = [
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
        for name in names
        if name not in _TABLES[table]
    ]
    action = sql.SQL("UPDATE SET {}").format(sql.SQL(", ").join(changes))
    cursor.execute(
        sql.SQL(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM {restored}"
            " ON CONFLICT ({key}) DO {action}"
        ).format(
            table=sql.Identifier(table),
            columns=_identifiers(names),
            restored=sql.Identifier(f"restored_{table}"),
            key=_identifiers(_TABLES[table]),
            action=action,
        )
    )


def _remove_others(cursor: Cursor) -> list[str]:
    """Remove who is enrolled and not in the backup, as `sightline employees remove` does."""
    cursor.execute("SELECT id FROM employees WHERE id NOT IN (SELECT id FROM restored_employees)")
    others = [row[0] for row in cursor.fetchall()]
    for person in others:
        employees.remove(cursor, person)
    return [str(person) for person in others]


def _publish(cursor: Cursor, published: Mapping[str, int]) -> list[str]:
    """Tell the matchers of everybody, with a revision later than any that they know."""
    cursor.execute("SELECT id FROM employees ORDER BY id")
    people = [row[0] for row in cursor.fetchall()]
    cursor.executemany(
        "UPDATE employees SET revision = greatest(revision, %s) WHERE id = %s",
        [(published.get(str(person), 0), person) for person in people],
    )
    for person in people:
        employees.publish(cursor, person)
    return [str(person) for person in people]


def _tell(cursor: Cursor, said_of: set[int], said_tracks: set[str]) -> None:
    """Tell the matchers what holds of people and tracks now, and what does no more."""
    corrected = _corrected(cursor)
    reference_facts.tell_persons(cursor, said_of | _said_of(cursor))
    reference_facts.tell_tracks(cursor, sorted(corrected))
    cursor.execute(_STRANGERS, (_LOOKS_OF_A_STRANGER,))
    told = {
        f"track|{row[0]}": reference_facts.track_fact(cursor, *row) for row in cursor.fetchall()
    }
    back = {f"track|{track}": None for track in said_tracks - corrected}
    enqueue_all(cursor, FACTS.name, (back | told).items())


def _said_of(cursor: Cursor) -> set[int]:
    return {row[0] for row in cursor.execute(_SAID_OF)}


def _corrected(cursor: Cursor) -> set[str]:
    return {str(row[0]) for row in cursor.execute("SELECT track_uuid FROM track_corrections")}


def _columns(cursor: Cursor, table: str) -> list[str]:
    return [row[0] for row in cursor.execute(_COLUMNS, (table,))]


def _identifiers(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def tell_everything(settings: Settings) -> None:
    """Tell the matchers of everybody, as the database has them: what they know is of before.

    What is told waits in the outbox. Raises SightlineError.
    """
    published = _published(settings)
    with connect(settings, autocommit=True) as db, db.transaction():
        cursor = db.cursor()
        identity_corrections.lock(cursor)
        employees.lock_enrolment(cursor)
        cursor.execute(
            "CREATE TEMP TABLE restored_person_tracks ON COMMIT DROP AS"
            " SELECT track_uuid FROM person_tracks"
            " WHERE num_nonnulls(embedding, embedding_sealed) > 0"
        )
        removed = set(published) - set(_publish(cursor, published))
        enqueue_all(cursor, GALLERY.name, [(person, None) for person in sorted(removed)])
        _tell(cursor, set(), set())
