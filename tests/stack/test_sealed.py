"""Encryption at rest: no file has it in the clear; what is tampered with is refused."""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import cv2
import numpy as np
import pytest

from ops.backup.employee_backup import backup, restore
from ops.encryption.re_encrypt import count_by_key, re_encrypt
from schemas import sightline_pb2 as pb
from schemas.topics import FACTS
from sightline.identity.evidence import Vector
from sightline.people import corrections, employees
from sightline.people.employees import EmployeeProfile
from sightline.people.face_search import search_persons, search_tracks
from sightline.people.photos import PhotoTemplate
from sightline.people.template_similarity import nearest
from sightline.runtime import metrics
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.encryption import (
    MissingKeyError,
    TamperedError,
    is_encrypted,
    key_id_of,
    new_key,
    read_keys,
)
from sightline.storage.objects import open_raw_store, open_store
from sightline.storage.outbox import OutboxRelay
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.snapshots import Snapshots
from tests.sealed import all_sealed, beside, with_keys
from tests.stack.commands_support import run
from tests.stack.people_support import rows
from tests.stack.sinks_support import World, new_world, write
from tests.support import read_topic, run_sightline

pytestmark = pytest.mark.stack

PACK = "test-pack"


def face(seed: int) -> Vector:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def picture(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (60, 60, 3), np.uint8)
    done, data = cv2.imencode(".jpg", noise)
    assert done
    return data.tobytes()


class Traces:
    """People, tracks and pictures of one installation, written as its services write them."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.faces = [face(seed + number) for number in range(4)]
        self.pictures = [picture(seed + number) for number in range(3)]
        with new_world(settings) as world:
            self._write(world)
            self.tracks = [UUID(world.track(start)) for start in (0, 100, 200)]
            self.strangers = [world.sighting(stranger=name).global_id for name in ("x", "y")]

    def _write(self, world: World) -> None:
        enrolled, stranger, other, _late = self.faces
        with connect(self.settings) as db, db.cursor() as cursor:
            name = f"Sealed {world.id}"
            self.person, _ = employees.find_or_add(cursor, name, EmployeeProfile())
            self.photo = f"enrollment_photos/{world.id}.jpg"
            open_store(self.settings).put(self.photo, self.pictures[0])
            employees.add_template(
                cursor, self.person, PACK, self.photo, PhotoTemplate(b"", enrolled, 0.9)
            )
            employees.publish(cursor, self.person)
        said = [
            world.sighting(stranger="x", template=as_sent(stranger)),
            world.sighting(stranger="y", start=100, template=as_sent(other)),
            world.sighting(stranger="z", start=200, template=as_sent(enrolled)),
        ]
        shots = [world.shot(0.5, jpeg=self.pictures[1]),
                 world.shot(0.5, start=300, jpeg=self.pictures[2])]  # fmt: skip
        write(self.settings, AccessLog(self.settings), said)
        write(self.settings, PersonState(self.settings), said, [], idle=True)
        write(self.settings, Snapshots(self.settings, open_store(self.settings)), [*said, *shots])
        with connect(self.settings) as db, db.cursor() as cursor:
            corrections.reject_identity(cursor, UUID(world.track(100)))

    def in_the_clear(self, *places: Path) -> set[str]:
        """Which faces and pictures stand in files as they are."""
        wanted = {f"face {number}": one.tobytes()[:64] for number, one in enumerate(self.faces)}
        wanted |= {f"big-endian face {number}": one.astype(">f4").tobytes()[:64]
                   for number, one in enumerate(self.faces)}  # fmt: skip
        wanted |= {f"half face {number}": one.astype("<f2").tobytes()[:64]
                   for number, one in enumerate(self.faces)}  # fmt: skip
        wanted |= {f"picture {number}": one[-200:-100] for number, one in enumerate(self.pictures)}
        found = set()
        for path in (file for place in places for file in place.rglob("*")):
            with suppress(FileNotFoundError, IsADirectoryError):
                data = path.read_bytes()
                found |= {name for name, part in wanted.items() if part in data}
        return found


def as_sent(vector: Vector) -> bytes:
    return vector.astype("<f4").tobytes()


def files_of(stack: Settings, settings: Settings) -> list[Path]:
    """The files of a database of the stack's server, all that is in memory written to them."""
    with connect(settings, autocommit=True) as db:
        db.execute("CHECKPOINT")
    ((oid,),) = rows(settings, "SELECT oid FROM pg_database WHERE datname = current_database()")
    return [stack.home / "postgres/data/base" / str(oid)]


def jpegs(*places: Path) -> int:
    return sum(
        path.read_bytes().count(b"\xff\xd8\xff\xe0\x00\x10JFIF")
        for place in places for path in place.rglob("*") if path.is_file()
    )  # fmt: skip


@pytest.fixture
def sealed(stack: Settings) -> Iterator[Settings]:
    with all_sealed(stack) as settings:
        yield settings


def test_files_hold_no_picture_and_no_face(stack: Settings, sealed: Settings) -> None:
    traces = Traces(sealed, 100)
    places = [*files_of(stack, sealed), sealed.home / "objects"]
    assert traces.in_the_clear(*places, stack.home / "postgres/data/pg_wal") == set()
    assert jpegs(*places) == 0
    # And everything is there.
    with connect(sealed, autocommit=True) as db:
        assert search_tracks(db, PACK, traces.faces[2])[0]["track_uuid"] == traces.tracks[1]
        told = employees.gallery_message(db.cursor(), traces.person)
    assert told.templates[0].vector == as_sent(traces.faces[0])
    assert open_store(sealed).get(traces.photo) == traces.pictures[0]
    assert len(list((sealed.home / "objects").rglob("*.jpg"))) == 2
    assert rows(sealed, "SELECT count(*) FROM pending_snapshots") == [(1,)]
    assert rows(sealed, "SELECT count(*) > 0 FROM outbox WHERE value IS NOT NULL") == [(True,)]


def test_what_was_plain_is_sealed_and_written_over(stack: Settings) -> None:
    first, second = new_key(), new_key()
    with beside(stack) as plain:
        traces = Traces(plain, 200)
        with connect(plain, autocommit=True) as db:
            db.execute("ANALYZE")  # its samples are of faces too
        places = [*files_of(stack, plain), plain.home / "objects"]
        told = {"face 0", "face 1", "face 2", "picture 0", "picture 1", "picture 2"}
        assert told <= traces.in_the_clear(*places)

        sealing = with_keys(plain, first)
        with connect(sealing, autocommit=True) as db:
            found = search_tracks(db, PACK, traces.faces[1])
            assert found[0]["track_uuid"] == traces.tracks[0], "plain ones are found meanwhile"
        with pytest.raises(KeyboardInterrupt):
            re_encrypt(sealing, interrupt_at("public.detected_persons"))
        mixed = {one["key"] for one in count_by_key(sealing)}
        assert mixed == {"plain", read_keys(first).ids[0]}
        done = re_encrypt(sealing)
        assert done.refused == done.unused_keys == []
        assert {one["key"] for one in count_by_key(sealing)} == {done.key}
        assert traces.in_the_clear(*files_of(stack, sealing), plain.home / "objects") == set()
        assert jpegs(*places) == 0
        whole(sealing, traces)

        both = with_keys(plain, second, first)
        done = re_encrypt(both)
        assert done.unused_keys == read_keys(first).ids
        assert sum(done.re_encrypted.values()) == sum(one["count"] for one in count_by_key(both))
        only = with_keys(plain, second)
        whole(only, traces)
        assert not re_encrypt(only).re_encrypted, "nothing is left to do"
        for lacking in (with_keys(plain), with_keys(plain, first)):
            with pytest.raises(MissingKeyError, match=read_keys(second).ids[0]):
                connect(lacking)


def interrupt_at(table: str) -> Any:
    def progress(what: str) -> None:
        if what == table:
            raise KeyboardInterrupt

    return progress


def whole(settings: Settings, traces: Traces) -> None:
    """All that was written is found, as it was."""
    with connect(settings, autocommit=True) as db:
        tracks = search_tracks(db, PACK, traces.faces[1], min_score=0.9)
        assert [row["track_uuid"] for row in tracks] == [traces.tracks[0]]
        assert tracks[0]["score"] == pytest.approx(1.0, abs=1e-6)
        persons = search_persons(db, PACK, traces.faces[1], threshold=0.9)
        assert [person for person, _score in persons] == [traces.strangers[0]]
        near = nearest(db.cursor(), PACK, traces.faces[0])
        assert near[0].person == traces.person
        assert near[0].score == pytest.approx(1.0, abs=1e-6)
    assert open_store(settings).get(traces.photo) == traces.pictures[0]


def test_a_search_filters_and_finds_what_comparing_finds(sealed: Settings) -> None:
    with new_world(sealed) as world:
        other = world.add_camera("hall")
        faces = [face(500 + number) for number in range(30)]
        said = [
            world.sighting(
                stranger=f"s{number}", start=100 * number, template=as_sent(one),
                camera=other if number % 2 else None,
            )
            for number, one in enumerate(faces)
        ]  # fmt: skip
        write(sealed, PersonState(sealed), said)
        tracks = [UUID(one.track_id) for one in said]
    probe = faces[4] + 0.8 * face(999)
    expected = sorted(range(30), key=lambda number: -float(faces[number] @ probe))
    with connect(sealed, autocommit=True) as db:
        found = search_tracks(db, PACK, probe, limit=7)
        assert [row["track_uuid"] for row in found] == [tracks[at] for at in expected[:7]]
        cosines = [float(faces[at] @ probe) / float(np.linalg.norm(probe)) for at in expected[:7]]
        assert [row["score"] for row in found] == pytest.approx(cosines, abs=1e-5)
        in_hall = search_tracks(db, PACK, probe, limit=3, camera=other)
        assert [row["track_uuid"] for row in in_hall] == [tracks[at] for at in expected if at % 2][
            :3
        ]
        # What is changed and what is deleted is so in the next search.
        db.execute("DELETE FROM person_tracks WHERE track_uuid = %s", (tracks[expected[0]],))
        again = search_tracks(db, PACK, probe, limit=6)
        assert [row["track_uuid"] for row in again] == [tracks[at] for at in expected[1:7]]
        with pytest.raises(SightlineError, match="64 numbers"):
            search_tracks(db, PACK, probe[:64])


def test_what_was_tampered_with_is_refused(sealed: Settings) -> None:
    traces = Traces(sealed, 300)
    raw = open_raw_store(sealed)
    pictures = list(raw.keys(""))
    data = raw.get(pictures[0])
    raw.put(pictures[1], data)  # another's
    raw.put(pictures[0], data[:-1] + bytes([data[-1] ^ 1]))
    refused = metrics.DECRYPTION_FAILURES.labels("objects")._value.get()
    for key in pictures:
        with pytest.raises(TamperedError, match=key):
            open_store(sealed).get(key)
    assert metrics.DECRYPTION_FAILURES.labels("objects")._value.get() == refused + 2

    with connect(sealed, autocommit=True) as db:
        swapped = db.execute(
            "UPDATE person_tracks SET embedding_sealed = (SELECT embedding_sealed"
            " FROM person_tracks WHERE track_uuid = %s) WHERE track_uuid = %s",
            (traces.tracks[0], traces.tracks[1]),
        )
        assert swapped.rowcount == 1
        found = search_tracks(db, PACK, traces.faces[1], min_score=0.9)
        assert [row["track_uuid"] for row in found] == [traces.tracks[0]], "not the other"
        db.execute("UPDATE face_templates SET embedding_sealed = embedding_sealed || '\\x00'")
        with pytest.raises(TamperedError, match="face_templates"):
            employees.gallery_message(db.cursor(), traces.person)
        db.execute("UPDATE pending_snapshots SET jpeg = jpeg || '\\x00'")

    with new_world(sealed) as world:  # the sink drops the picture, and goes on with the others
        shot = rows(sealed, "SELECT sighting_id::text FROM pending_snapshots")[0][0]
        before = metrics.DECRYPTION_FAILURES.labels("pending_snapshots")._value.get()
        sink = Snapshots(sealed, open_store(sealed))
        late = world.sighting(stranger="z", start=300)
        late.sighting_id = shot
        write(sealed, sink, [late])
        assert metrics.DECRYPTION_FAILURES.labels("pending_snapshots")._value.get() == before + 1
        assert rows(sealed, "SELECT count(*) FROM pending_snapshots") == [(0,)]
        write(sealed, sink, [world.sighting(stranger="z"), world.shot()])
    assert len(list(raw.keys(""))) == 3

    done = re_encrypt(with_keys(sealed, new_key(), plain_text(sealed)))
    assert {name.split("/")[0] for name in done.refused} == {
        "objects", "face_templates", "person_tracks"
    }  # fmt: skip
    assert done.unused_keys == [], (
        "the old key stays named while something claims to be sealed with it"
    )


def plain_text(settings: Settings) -> str:
    assert settings.encryption.keys
    return settings.encryption.keys.get_secret_value()


def test_a_record_that_does_not_open_stays_and_keeps_no_other_waiting(
    sealed: Settings,
) -> None:
    traces = Traces(sealed, 400)
    with connect(sealed, autocommit=True) as db:
        ((first,),) = db.execute("SELECT min(id) FROM outbox").fetchall()
        ((total,),) = db.execute("SELECT count(*) FROM outbox").fetchall()
        db.execute("UPDATE outbox SET value = value || '\\x00' WHERE id = %s", (first,))
    with closing(OutboxRelay(sealed)) as relay:
        relay.drain()
    assert rows(sealed, "SELECT id FROM outbox") == [(first,)]
    assert total > 1
    told = {record.key: record.value for record in read_topic(sealed, FACTS.name)}
    fact = pb.Fact.FromString(told[f"track|{traces.tracks[1]}".encode()] or b"")
    assert fact.track.templates[0].vector == as_sent(traces.faces[2])


def test_a_plain_backup_is_sealed_when_it_is_restored(stack: Settings, tmp_path: Path) -> None:
    file, again = tmp_path / "plain.zip", tmp_path / "sealed.zip"
    with beside(stack) as plain:
        traces = Traces(plain, 600)
        backup(plain, file)
    with all_sealed(stack) as sealed:
        restore(sealed, file)
        whole_rows(sealed, traces)
        keys = {one["key"] for one in count_by_key(sealed)}
        assert keys == set(read_keys(plain_text(sealed)).ids)
        backup(sealed, again)
    with beside(stack) as plain, pytest.raises(MissingKeyError, match=keys.pop()) as caught:
        restore(plain, again)
    assert "\n" not in str(caught.value)


def whole_rows(settings: Settings, traces: Traces) -> None:
    with connect(settings, autocommit=True) as db:
        found = search_tracks(db, PACK, traces.faces[1], min_score=0.9)
        assert [row["track_uuid"] for row in found] == [traces.tracks[0]]
        assert search_persons(db, PACK, traces.faces[1], threshold=0.9)
        assert nearest(db.cursor(), PACK, traces.faces[0])[0].person == traces.person


def test_a_program_without_the_key_says_so_in_a_line(sealed: Settings) -> None:
    (known,) = read_keys(plain_text(sealed)).ids
    connect(sealed).close()  # notes the key
    other = {"SIGHTLINE_ENCRYPTION__KEYS": new_key()}
    result = run_sightline(sealed.home, "employees", "list", check=False, env=other)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert known in result.stderr
    assert "encryption.keys" in result.stderr


def test_commands_make_keys_and_rotate(sealed: Settings) -> None:
    connect(sealed).close()  # notes the key
    open_store(sealed).put("known/x.jpg", picture(1))
    key = run(sealed, "encryption", "new-key").strip()
    env = {"SIGHTLINE_ENCRYPTION__KEYS": f"{key},{plain_text(sealed)}"}
    said = run(sealed, "encryption", "rotate", **env)
    assert "objects: 1 encrypted" in said
    assert read_keys(plain_text(sealed)).ids[0] in said.partition("No longer needed")[2]
    data = open_raw_store(sealed).get("known/x.jpg")
    assert is_encrypted(data)
    assert key_id_of(data).hex() == read_keys(key).ids[0]
