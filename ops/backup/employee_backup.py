"""Backup and restore of all embeddings: of employees, unknown persons and their corrections.

Photos, snapshots and logs are not part of it.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from ops.backup import employee_archive
from ops.erasure.restore_filter import exclude_erased
from schemas import sightline_pb2 as pb
from schemas.naming import track_fact_key
from schemas.topics import FACTS, GALLERY
from sightline.people import employees, identity_corrections, reference_facts
from sightline.people.encrypted_columns import FACES, count_keys, encrypt_rows
from sightline.runtime.clock import SystemClock, to_datetime
from sightline.runtime.errors import ConflictError, SightlineError, first_line
from sightline.runtime.settings import Settings
from sightline.storage.db import Cursor, connect, encryption_of
from sightline.storage.encryption_keys import PLAINTEXT
from sightline.storage.outbox import enqueue_all
from sightline.streaming.topic_reader import read_topic

_CHUNK_BYTES = 1 << 16

# Parents before children. The tables in _REPLACED are emptied before the backup's rows are
# inserted; in the others, rows that are not in the backup stay.
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
"""Tracks without an embedding are left out: the sink writes them again, or they are not needed."""

_ENCRYPTED_COLUMNS = {
    face.table: (face.columns.encrypted_column, face.columns.context_column) for face in FACES
}
"""Columns that backups of earlier versions lack."""

_COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = %s AND is_identity = 'NO' ORDER BY ordinal_position
"""

_TEMPLATES_PER_UNKNOWN_PERSON = 5
"""The best tracks of an unknown person that are published to the matchers."""

# Corrected tracks are published as corrections.
_UNKNOWN_PERSON_TRACKS = """
SELECT track_uuid::text, site_id, global_id, pack, embedding, embedding_sealed, face_quality,
    epoch, first_seen, last_seen
FROM (
    SELECT track.*, row_number() OVER (
        PARTITION BY track.global_id, track.pack
        ORDER BY track.face_quality DESC, track.track_uuid) AS place
    FROM restored_person_tracks restored JOIN person_tracks track USING (track_uuid)
    WHERE track.site_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM employees WHERE employees.global_id = track.global_id)
        AND NOT EXISTS (SELECT FROM track_corrections correction
            WHERE correction.track_uuid = track.track_uuid)) AS templates
WHERE place <= %s
"""

_CORRECTED_PERSONS = """
SELECT global_id FROM person_aliases UNION SELECT into_global_id FROM person_aliases
UNION SELECT global_id FROM person_names
UNION SELECT global_id FROM not_same UNION SELECT other_global_id FROM not_same
UNION SELECT (details ->> 'global_id')::bigint FROM corrections WHERE kind = 'forget'
"""


@dataclass(frozen=True, slots=True)
class BackupCounts:
    """Counts of a backup's rows."""

    employees: int
    templates: int
    persons: int  # persons seen by cameras, enrolled or not
    tracks: int


def _saved(tables: Mapping[str, int]) -> BackupCounts:
    return BackupCounts(
        employees=tables["employees"],
        templates=tables["face_templates"],
        persons=tables["detected_persons"],
        tracks=tables["person_tracks"],
    )


def backup(settings: Settings, path: Path) -> BackupCounts:
    """Write all embeddings into one archive, in one snapshot of the database.

    The archive holds biometric data and is readable by its owner alone. Encrypted embeddings stay
    encrypted in it, others are plain. Raises SightlineError if it cannot be written.
    """
    with connect(settings) as db, employee_archive.new_archive(path) as file:
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
        if key != PLAINTEXT
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


def restore(settings: Settings, path: Path, *, replace: bool = False) -> BackupCounts:
    """Restore a backup in one transaction and publish it to the matchers.

    With `replace`, employees who are not in the backup are removed and later corrections undone;
    persons seen by cameras since then stay. Embeddings are encrypted with the current key.
    Raises SightlineError for a file that is damaged, cut off or of another version, ConflictError
    if there are people already, and MissingKeyError for a backup encrypted with a missing key.
    """
    with employee_archive.open_checked(path) as (file, manifest):
        if set(manifest.tables) != set(_TABLES):
            raise SightlineError(f"{path} does not hold the tables of this version")
        published = _published(settings)
        with connect(settings, autocommit=True) as db, db.transaction():
            cursor = db.cursor()
            _refuse_without_keys(cursor, path, manifest.keys)
            identity_corrections.lock_exclusive(cursor)
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
    """Return the revisions in the topic `gallery` by employee id."""
    revisions: dict[str, int] = {}
    for record in read_topic(settings, GALLERY):
        key = (record.key or b"").decode()
        if record.value is None:
            revisions.pop(key, None)
        else:
            revisions[key] = pb.GalleryPerson.FromString(record.value).revision
    return revisions


def _refuse_without_keys(cursor: Cursor, path: Path, keys: Sequence[str]) -> None:
    for key in keys:
        encryption_of(cursor).key_ring_with(bytes.fromhex(key), str(path))


def _refuse_people(cursor: Cursor) -> None:
    for table in ("employees", "detected_persons", "corrections"):
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table)))
        if cursor.fetchone() == (True,):
            raise ConflictError(
                "there are people here already; --replace puts those of the backup in their place"
            )


def _apply(cursor: Cursor, file: zipfile.ZipFile, published: Mapping[str, int]) -> None:
    columns = {table: _load(cursor, file, table) for table in _TABLES}
    _encrypt_restored(cursor)
    exclude_erased(cursor)
    corrected_persons, corrected_tracks = _corrected_persons(cursor), _corrected_tracks(cursor)
    removed_employees = _remove_others(cursor)
    for table in _REPLACED:
        cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    # Two employees may have exchanged names or addresses since the backup.
    cursor.execute(
        "UPDATE employees SET name = id::text, email = NULL, employee_id_code = NULL,"
        " aws_face_id = NULL WHERE id IN (SELECT id FROM restored_employees)"
    )
    for table, names in columns.items():
        _upsert(cursor, table, names)
    absent = (set(removed_employees) | set(published)) - set(_publish(cursor, published))
    enqueue_all(cursor, GALLERY.name, [(person, None) for person in sorted(absent)])
    _publish_facts(cursor, corrected_persons, corrected_tracks)


def _load(cursor: Cursor, file: zipfile.ZipFile, table: str) -> list[str]:
    """Load a table into a temporary table `restored_TABLE`; return its columns."""
    with file.open(f"{table}.csv") as rows:
        names = rows.readline().decode().strip().split(",")
        unknown = set(names) - set(_columns(cursor, table))
        if unknown:
            raise SightlineError(f"the backup's {table} has columns that are not known here")
        restored = sql.Identifier(f"restored_{table}")
        columns = [
            *names,
            *(name for name in _ENCRYPTED_COLUMNS.get(table, ()) if name not in names),
        ]
        cursor.execute(
            sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
                restored, _identifiers(columns), sql.Identifier(table)
            )
        )
        into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)")
        with cursor.copy(into.format(restored, _identifiers(names))) as copy:
            while chunk := rows.read(_CHUNK_BYTES):
                copy.write(chunk)
    return columns


def _encrypt_restored(cursor: Cursor) -> None:
    """Encrypt the restored embeddings if encryption is on."""
    ring = encryption_of(cursor).key_ring()
    if ring is None:
        return
    for face in FACES:
        restored = sql.Identifier(f"restored_{face.table}")
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(sql.Identifier(face.key), restored))
        encrypt_rows(cursor, ring, face, restored, [row[0] for row in cursor])


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
    """Remove employees who are not in the backup, as `sightline employees remove` does."""
    cursor.execute("SELECT id FROM employees WHERE id NOT IN (SELECT id FROM restored_employees)")
    removed = [row[0] for row in cursor.fetchall()]
    for person in removed:
        employees.remove(cursor, person)
    return [str(person) for person in removed]


def _publish(cursor: Cursor, published: Mapping[str, int]) -> list[str]:
    """Publish all employees, each with a revision above the published one; return their ids."""
    people = [row[0] for row in cursor.execute("SELECT id FROM employees ORDER BY id")]
    cursor.executemany(
        "UPDATE employees SET revision = greatest(revision, %s) WHERE id = %s",
        [(published.get(str(person), 0), person) for person in people],
    )
    for person in people:
        employees.publish(cursor, person)
    return [str(person) for person in people]


def _publish_facts(cursor: Cursor, corrected_persons: set[int], corrected_tracks: set[str]) -> None:
    """Publish the facts of persons and tracks, and tombstones for facts that no longer hold."""
    current_tracks = _corrected_tracks(cursor)
    reference_facts.publish_persons(cursor, corrected_persons | _corrected_persons(cursor))
    reference_facts.publish_tracks(cursor, sorted(current_tracks))
    cursor.execute(_UNKNOWN_PERSON_TRACKS, (_TEMPLATES_PER_UNKNOWN_PERSON,))
    track_facts = {
        track_fact_key(row[0]): reference_facts.track_fact(cursor, *row)
        for row in cursor.fetchall()
    }
    tombstones = {track_fact_key(track): None for track in corrected_tracks - current_tracks}
    enqueue_all(cursor, FACTS.name, (tombstones | track_facts).items())


def _corrected_persons(cursor: Cursor) -> set[int]:
    return {row[0] for row in cursor.execute(_CORRECTED_PERSONS)}


def _corrected_tracks(cursor: Cursor) -> set[str]:
    return {str(row[0]) for row in cursor.execute("SELECT track_uuid FROM track_corrections")}


def _columns(cursor: Cursor, table: str) -> list[str]:
    return [row[0] for row in cursor.execute(_COLUMNS, (table,))]


def _identifiers(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def publish_all(settings: Settings) -> None:
    """Publish all employees and facts of the database: the matchers' state may be outdated.

    The records are put into the outbox. Raises SightlineError.
    """
    published = _published(settings)
    with connect(settings, autocommit=True) as db, db.transaction():
        cursor = db.cursor()
        identity_corrections.lock_exclusive(cursor)
        employees.lock_enrolment(cursor)
        cursor.execute(
            "CREATE TEMP TABLE restored_person_tracks ON COMMIT DROP AS"
            " SELECT track_uuid FROM person_tracks"
            " WHERE num_nonnulls(embedding, embedding_sealed) > 0"
        )
        removed = set(published) - set(_publish(cursor, published))
        enqueue_all(cursor, GALLERY.name, [(person, None) for person in sorted(removed)])
        _publish_facts(cursor, set(), set())
