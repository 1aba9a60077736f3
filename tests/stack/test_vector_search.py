"""Search by face in PostgreSQL: everybody who was here, by index as by comparing with all."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Thread
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from pgvector import Vector

from schemas.naming import AdvisoryLock
from sightline.people.face_search import search_persons, search_tracks
from sightline.runtime.errors import SightlineError
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage import vector_indexes
from sightline.storage.db import Connection, connect
from tests.support import days_ago, eventually

pytestmark = pytest.mark.stack

TRACKS = 3000
PEOPLE = 600
D = 128
T0 = days_ago(27, hour=8)


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


class Past:
    """A pack of its own with tracks of 600 people, five each, an hour apart on two cameras."""

    def __init__(self, db: Connection) -> None:
        random = np.random.default_rng(8)
        self.db = db
        self.pack = f"it's 100% {uuid4().hex[:8]}"  # has to be quoted wherever it goes
        self.faces = unit(random.normal(size=(PEOPLE, D)))
        self.first_id = int(random.integers(2**40, 2**50))
        self.shots = unit(
            np.repeat(self.faces, TRACKS // PEOPLE, 0) + 0.8 * unit(random.normal(size=(TRACKS, D)))
        )
        self.uuids = [uuid4() for _ in range(TRACKS)]
        with db.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO person_tracks (track_uuid, camera_id, first_seen, last_seen, last_box,"
                " global_id, embedding, pack) VALUES (%s, %s, %s, %s, '{}', %s, %s, %s)",
                [
                    (
                        self.uuids[row], self.camera(row), self.seen(row),
                        self.seen(row) + timedelta(minutes=1), self.person(row),
                        Vector(self.shots[row]), self.pack,
                    )
                    for row in range(TRACKS)
                ],
            )  # fmt: skip
            cursor.executemany(
                "INSERT INTO detected_persons (global_id, face_embedding, embedding_pack,"
                " first_seen, last_seen) VALUES (%s, %s, %s, %s, %s)",
                [
                    (self.first_id + person, Vector(self.faces[person]), self.pack, T0, T0)
                    for person in range(PEOPLE)
                ],
            )

    def camera(self, row: int) -> str:
        return f"{'door' if row % 2 else 'hall'}-{self.first_id}"

    def seen(self, row: int) -> datetime:
        return T0 + timedelta(hours=row)

    def person(self, row: int) -> int:
        return self.first_id + row // (TRACKS // PEOPLE)

    def best(self, probe: NDArray[np.float32], count: int) -> list[UUID]:
        order = np.argsort(-(self.shots @ probe))[:count]
        return [self.uuids[row] for row in order]


@pytest.fixture(scope="module")
def past(stack: Settings) -> Iterator[Past]:
    with connect(stack, autocommit=True) as db:
        one = Past(db)
        vector_indexes.ensure_indexes(db, one.pack, D)
        db.execute("ANALYZE person_tracks, track_faces, detected_persons, person_faces")
        yield one
        db.execute("DELETE FROM person_tracks WHERE pack = %s", (one.pack,))
        db.execute("DELETE FROM detected_persons WHERE embedding_pack = %s", (one.pack,))
        for table in vector_indexes.TABLES:
            db.execute(f"DROP INDEX {vector_indexes.index_name(table, one.pack, D)}".encode())


def probes(past: Past, count: int) -> NDArray[np.float32]:
    random = np.random.default_rng(9)
    return unit(past.faces[:count] + 0.8 * unit(random.normal(size=(count, D))))


def test_the_index_finds_what_comparing_with_all_finds(past: Past) -> None:
    found = expected = 0
    for probe in probes(past, 100):
        rows = search_tracks(past.db, past.pack, probe, limit=5)
        best = past.best(probe, 5)
        assert rows[0]["track_uuid"] == best[0]
        assert [row["score"] for row in rows] == sorted(
            (row["score"] for row in rows), reverse=True
        )
        found += len({row["track_uuid"] for row in rows} & set(best))
        expected += len(best)
    assert found / expected >= 0.99


def test_it_is_the_index_that_answers(past: Past) -> None:
    name = vector_indexes.index_name("track_faces", past.pack, D)
    before = _scans(past.db, name)
    search_tracks(past.db, past.pack, past.faces[0], limit=5)
    past.db.execute("SELECT pg_stat_force_next_flush()")
    assert _scans(past.db, name) > before


def _scans(db: Connection, index: str) -> int:
    row = db.execute("SELECT pg_stat_get_numscans(to_regclass(%s))", (index,)).fetchone()
    assert row is not None
    return int(row[0])


def test_a_sighting_says_who_when_and_where(past: Past) -> None:
    probe = past.shots[7]
    (row,) = search_tracks(past.db, past.pack, probe, limit=1)
    assert row["track_uuid"] == past.uuids[7]
    assert row["score"] == pytest.approx(1.0, abs=1e-6)
    assert (row["global_id"], row["name"]) == (past.person(7), "Unknown")
    assert (row["camera_id"], row["first_seen"]) == (past.camera(7), past.seen(7))
    assert row["day"] == past.seen(7).date()
    assert row["snapshot_path"] is None
    far = search_tracks(past.db, past.pack, probe, min_score=0.3)
    assert len(far) >= 5
    assert all(one["score"] >= 0.3 for one in far)


def test_filters_leave_as_many_as_there_are(past: Past) -> None:
    probe = past.faces[100]
    camera = past.camera(1)
    rows = search_tracks(past.db, past.pack, probe, limit=400, camera=camera)
    assert len(rows) == 400
    assert {row["camera_id"] for row in rows} == {camera}
    since, until = past.seen(1000), past.seen(1200)
    rows = search_tracks(past.db, past.pack, probe, limit=150, since=since, until=until)
    assert len(rows) == 150
    assert all(row["last_seen"] >= since and row["first_seen"] < until for row in rows)


def test_persons_come_with_their_cosine(past: Past) -> None:
    found = search_persons(past.db, past.pack, 3 * past.faces[42], threshold=0.6)
    ((person, score),) = found
    assert person == past.first_id + 42
    assert score == pytest.approx(1.0, abs=1e-6)
    assert search_persons(past.db, past.pack, -past.faces[42], threshold=0.6) == []
    assert len(search_persons(past.db, past.pack, past.faces[42], threshold=-1, limit=7)) == 7


def test_a_face_that_goes_is_found_no_more_and_a_row_that_changes_keeps_it(past: Past) -> None:
    person, face = past.first_id + 50, past.faces[50]
    past.db.execute("UPDATE detected_persons SET last_seen = now() WHERE global_id = %s", (person,))
    assert [one for one, _ in search_persons(past.db, past.pack, face)] == [person]
    past.db.execute(
        "UPDATE detected_persons SET face_embedding = %s WHERE global_id = %s",
        (Vector(-face), person),
    )
    assert search_persons(past.db, past.pack, face) == []
    assert [one for one, _ in search_persons(past.db, past.pack, -face)] == [person]
    past.db.execute("DELETE FROM detected_persons WHERE global_id = %s", (person,))
    assert search_persons(past.db, past.pack, -face) == []


def test_a_pack_that_nobody_has_finds_nobody(past: Past) -> None:
    assert search_tracks(past.db, "nobody's", past.faces[0]) == []
    assert search_persons(past.db, "nobody's", past.faces[0]) == []


@pytest.mark.parametrize(
    ("vector", "what"),
    [
        ([1.0] * (D - 1), "127 numbers"),
        ([0.0] * D, "zero"),
        ([float("nan")] * D, "finite"),
        ([1.0, *[float("inf")] * (D - 1)], "finite"),
        ([], "list of 1"),
        ([[1.0] * D], "list of 1"),
        (["a"] * D, "list of numbers"),
    ],
)
def test_what_is_no_vector_is_refused(past: Past, vector: list[float], what: str) -> None:
    with pytest.raises(SightlineError, match=what):
        search_tracks(past.db, past.pack, vector)
    with pytest.raises(SightlineError, match=what):
        search_persons(past.db, past.pack, vector)


def test_a_wrong_length_does_not_stop_a_writer(past: Past) -> None:
    # The index is for the pack's length alone; a row that is broken is none of its business.
    short = uuid4()
    past.db.execute(
        "INSERT INTO person_tracks (track_uuid, camera_id, first_seen, last_seen, last_box,"
        " embedding, pack) VALUES (%s, 'x', now(), now(), '{}', %s, %s)",
        (short, Vector([1.0, 0.0]), past.pack),
    )
    rows = search_tracks(past.db, past.pack, past.faces[3], limit=100)
    assert short not in {row["track_uuid"] for row in rows}
    past.db.execute("DELETE FROM person_tracks WHERE track_uuid = %s", (short,))


def test_indexes_are_made_once_and_again_where_one_is_broken(past: Past, stack: Settings) -> None:
    pack = f"other-{uuid4().hex[:8]}"
    name = vector_indexes.index_name("face_templates", pack, 8)
    with connect(stack, autocommit=True) as db:
        vector_indexes.ensure_indexes(db, pack, 8)
        first = _oid(db, name)
        vector_indexes.ensure_indexes(db, pack, 8)
        assert _oid(db, name) == first
        db.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", (name,)
        )
        vector_indexes.ensure_indexes(db, pack, 8)
        assert _oid(db, name) != first
        vector_indexes.ensure_all(db)
        for table in vector_indexes.TABLES:
            db.execute(f"DROP INDEX {vector_indexes.index_name(table, pack, 8)}".encode())


def test_a_new_pack_is_indexed_by_those_who_answer_searches(past: Past, stack: Settings) -> None:
    pack = f"new-{uuid4().hex[:8]}"
    name = vector_indexes.index_name("person_faces", pack, 8)
    past.db.execute(
        "INSERT INTO detected_persons (global_id, face_embedding, embedding_pack, first_seen,"
        " last_seen) VALUES (%s, %s, %s, now(), now())",
        (past.first_id - 1, Vector([1.0] * 8), pack),
    )
    stop = Stop(5.0)
    keeper = Thread(target=vector_indexes.watch_indexes, args=(stack, stop))
    keeper.start()
    try:
        eventually(lambda: _oid(past.db, name), what="an index for the new pack")
    finally:
        stop.request()
        keeper.join(60)
        assert not keeper.is_alive()
    past.db.execute("DELETE FROM detected_persons WHERE global_id = %s", (past.first_id - 1,))
    for table in vector_indexes.TABLES:
        past.db.execute(f"DROP INDEX {vector_indexes.index_name(table, pack, 8)}".encode())


def test_while_another_makes_them_nobody_waits(past: Past, stack: Settings) -> None:
    pack = f"busy-{uuid4().hex[:8]}"
    name = vector_indexes.index_name("track_faces", pack, 8)
    with connect(stack, autocommit=True) as one, connect(stack, autocommit=True) as other:
        one.execute("SELECT pg_advisory_lock(%s)", (AdvisoryLock.VECTOR_INDEXES,))
        vector_indexes.ensure_indexes(other, pack, 8)
        assert _oid(other, name) is None
        one.execute("SELECT pg_advisory_unlock_all()")
        vector_indexes.ensure_indexes(other, pack, 8)
        assert _oid(other, name) is not None
        for table in vector_indexes.TABLES:
            other.execute(f"DROP INDEX {vector_indexes.index_name(table, pack, 8)}".encode())


def _oid(db: Connection, name: str) -> int | None:
    row = db.execute("SELECT to_regclass(%s)::oid", (name,)).fetchone()
    assert row is not None
    return None if row[0] is None else int(row[0])


def test_making_an_index_in_a_transaction_is_refused(stack: Settings) -> None:
    with connect(stack) as db, pytest.raises(AssertionError):
        vector_indexes.ensure_indexes(db, "any", 8)


def test_longer_vectors_than_can_be_indexed_are_left_alone(stack: Settings) -> None:
    with connect(stack, autocommit=True) as db:
        vector_indexes.ensure_indexes(db, "long", vector_indexes.MAX_INDEXED_DIMENSION + 1)
        assert (
            _oid(
                db,
                vector_indexes.index_name(
                    "track_faces", "long", vector_indexes.MAX_INDEXED_DIMENSION + 1
                ),
            )
            is None
        )


def test_a_name_that_an_employee_has_now_is_shown(past: Past) -> None:
    employee = uuid4()
    name = f"Ann {employee.hex[:8]}"
    try:
        past.db.execute(
            "INSERT INTO employees (id, global_id, name) VALUES (%s, %s, %s)",
            (employee, past.person(0), name),
        )
        rows = search_tracks(past.db, past.pack, past.faces[0], limit=5, min_score=0.4)
        assert {row["name"] for row in rows} == {name}
        assert {row["person_id"] for row in rows} == {employee}
    finally:
        past.db.execute("DELETE FROM employees WHERE id = %s", (employee,))
