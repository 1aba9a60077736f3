"""Backup and restore: everybody back with every number the same, or one line and nothing done."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from pydantic import SecretStr

from ops.backup import employee_archive
from ops.backup.employee_backup import _TABLES, backup, restore
from ops.database.migrate import upgrade
from schemas import sightline_pb2 as pb
from schemas.naming import outbox_context
from schemas.topics import FACTS
from sightline.people import corrections, employees
from sightline.people.employees import EmployeeProfile
from sightline.people.photos import PhotoTemplate
from sightline.runtime.connection_urls import database_url
from sightline.runtime.errors import ConflictError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.encryption import Encryption
from sightline.storage.outbox import deliver
from tests.sealed import PLAIN_AND_SEALED
from tests.stack.commands_support import run, sightline_json
from tests.stack.people_support import gallery, met, rows
from tests.support import read_topic

pytestmark = [pytest.mark.stack, PLAIN_AND_SEALED]


def unit(seed: int) -> Any:
    vector = np.random.default_rng(seed).normal(size=128).astype(np.float32)
    return vector / np.linalg.norm(vector)


def enrolled(stack: Settings, name: str, seed: int) -> str:
    with connect(stack) as db, db.cursor() as cursor:
        person, _ = employees.find_or_add(
            cursor, name, EmployeeProfile(department='Löb, "x"\n'[:6])
        )
        employees.add_template(
            cursor, person, "backup-pack", f"{name}.jpg", PhotoTemplate(b"", unit(seed), 0.7)
        )
        employees.publish(cursor, person)
    deliver(stack)
    return str(person)


def everything(stack: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """The tables of a backup, revisions left out."""
    found = {}
    with connect(stack) as db:
        for table, key in _TABLES.items():
            columns = db.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
                " AND table_schema = 'public'"  # runs have tables of the same names
                " AND column_name <> 'revision' AND is_identity = 'NO'",
                (table,),
            ).fetchall()
            names, order = ", ".join(f"{name}::text" for (name,) in columns), ", ".join(key)
            chosen = ""
            if table == "person_tracks":
                chosen = "WHERE num_nonnulls(embedding, embedding_sealed) > 0"
            query = f"SELECT {names} FROM {table} {chosen} ORDER BY {order}"
            found[table] = db.execute(query).fetchall()
    return found


def facts(stack: Settings) -> dict[str, pb.Fact]:
    now: dict[str, pb.Fact] = {}
    for record in read_topic(stack, FACTS.name):
        key = (record.key or b"").decode()
        now.pop(key, None)
        if record.value:
            now[key] = pb.Fact.FromString(record.value)
    return now


def test_everybody_comes_back_with_every_number(stack: Settings, tmp_path: Path) -> None:
    ann, bob = enrolled(stack, "Backup Ann", 1), enrolled(stack, "Backup Bob", 2)
    stranger, track = met(stack, unit(3))
    twin, _ = met(stack, unit(4))
    with connect(stack) as db, db.cursor() as cursor:
        corrections.name_person(cursor, stranger, "The postman")
        corrections.merge(cursor, twin, stranger)
    deliver(stack)
    file = tmp_path / "people.zip"
    said = sightline_json(stack, "employees", "backup", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    before, in_gallery = everything(stack), gallery(stack)
    assert said["employees"] == len(before["employees"])
    assert said["tracks"] == len(before["person_tracks"])

    # One is removed, one is changed into the other's name, one comes, a stranger is forgotten.
    run(stack, "employees", "remove", "Backup Ann")
    with connect(stack) as db, db.cursor() as cursor:
        cursor.execute("UPDATE employees SET name = 'Backup Ann' WHERE name = 'Backup Bob'")
        corrections.forget(cursor, stranger)
    cyd = enrolled(stack, "Backup Cyd", 5)
    later, _ = met(stack, unit(6))
    with pytest.raises(ConflictError, match="--replace"):
        restore(stack, file)
    run(stack, "employees", "restore", str(file), "--replace")

    after = everything(stack)
    kept = [row for row in after["detected_persons"] if row[0] != str(later)]
    assert len(after["detected_persons"]) == len(kept) + 1, "whom cameras met since stays"
    for table in set(_TABLES) - {"detected_persons", "person_tracks"}:
        assert after[table] == before[table], table
    assert set(before["person_tracks"]) <= set(after["person_tracks"])
    assert [row[0] for row in kept] == [row[0] for row in before["detected_persons"]]

    now = gallery(stack)
    assert cyd not in now
    for person in (ann, bob):
        old = in_gallery[person]
        assert (now[person].name, now[person].templates) == (old.name, old.templates)
        assert now[person].revision > old.revision, "a matcher that knows the old takes it"
    told = facts(stack)
    assert told[f"person|{stranger}"].person.named
    assert not told[f"person|{stranger}"].person.forgotten
    assert told[f"person|{twin}"].person.merged_into == stranger
    look = told[f"track|{track}"].track
    assert (look.global_id, look.site_id) == (stranger, "people-site")
    assert np.frombuffer(look.templates[0].vector, "<f4").tolist() == unit(3).tolist()


def test_a_restored_person_is_later_than_what_a_broker_has_kept(
    stack: Settings, tmp_path: Path
) -> None:
    """The database was lost, the broker was not: it still tells of people and of revisions."""
    dora, file = enrolled(stack, "Backup Dora", 7), tmp_path / "people.zip"
    backup(stack, file)
    eve = enrolled(stack, "Backup Eve", 8)
    run(stack, "employees", "set", "Backup Dora", "--department", "Moved")
    known = gallery(stack)[dora].revision
    with connect(stack) as db:
        db.execute("DELETE FROM employees WHERE id = %s", (eve,))
        db.execute("DELETE FROM employees WHERE id = %s", (dora,))
    restore(stack, file, replace=True)
    deliver(stack)
    now = gallery(stack)
    assert eve not in now
    assert now[dora].revision > known


def test_an_empty_installation_takes_everybody(stack: Settings, tmp_path: Path) -> None:
    """The file alone is enough, vectors to the last bit; and to whom the matchers are told."""
    gus = enrolled(stack, "Backup Gus", 11)
    stranger, track = met(stack, unit(12))
    file = tmp_path / "people.zip"
    backup(stack, file)
    with connect(stack, autocommit=True) as db:
        db.execute("DROP DATABASE IF EXISTS empty_people WITH (FORCE)")
        db.execute("CREATE DATABASE empty_people")
    url = database_url(stack).rsplit("/", 1)[0] + "/empty_people"
    empty = stack.model_copy(update={"database_url": SecretStr(url)})
    upgrade(empty)
    restore(empty, file)
    assert everything(empty) == everything(stack)
    waiting = {
        key.decode(): Encryption(empty).decrypt(value, outbox_context(topic, key.decode()))
        for topic, key, value in rows(
            empty, "SELECT topic, key, value FROM outbox WHERE value IS NOT NULL ORDER BY id"
        )
    }
    assert pb.GalleryPerson.FromString(waiting[gus]).name == "Backup Gus"
    assert pb.Fact.FromString(waiting[f"track|{track}"]).track.global_id == stranger
    with pytest.raises(ConflictError):
        restore(empty, file)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def last_flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (cut, "cut off or damaged"),
        (flipped, "cut off or damaged"),
        (last_flipped, "cut off or damaged"),
        (lambda data: b"", "no backup"),
        (lambda data: b"name,photos\n" * 20, "cut off or damaged"),
    ],
    ids=["cut", "a bit in the middle", "the last bit", "empty", "another file"],
)
def test_a_damaged_file_is_one_line_and_nothing_changes(
    stack: Settings, tmp_path: Path, damage: Callable[[bytes], bytes], why: str
) -> None:
    enrolled(stack, "Backup Fay", 9)
    file = tmp_path / "people.zip"
    backup(stack, file)
    file.write_bytes(damage(file.read_bytes()))
    before = everything(stack)
    with pytest.raises(SightlineError, match=why) as caught:
        restore(stack, file, replace=True)
    assert "\n" not in str(caught.value)
    assert everything(stack) == before


def rewritten(source: Path, target: Path, **files: str) -> None:
    """The backup with other files in it, and a checksum that is right."""
    with zipfile.ZipFile(source) as old, employee_archive.new_archive(target) as new:
        for name in old.namelist():
            new.writestr(name, files.get(name.split(".")[0], old.read(name).decode()))


def test_another_version_and_rows_that_do_not_fit_are_one_line(
    stack: Settings, tmp_path: Path
) -> None:
    enrolled(stack, "Backup Gil", 10)
    file, other = tmp_path / "people.zip", tmp_path / "other.zip"
    backup(stack, file)
    with zipfile.ZipFile(file) as kept:
        manifest = json.loads(kept.read("manifest.json"))
        employees = kept.read("employees.csv").decode()
    before = everything(stack)
    rewritten(file, other, manifest=json.dumps(manifest | {"version": 2}))
    with pytest.raises(SightlineError, match="version 2"):
        restore(stack, other, replace=True)
    rewritten(file, other, employees=employees.replace("active", "sleeping"))
    with pytest.raises(SightlineError, match="does not fit"):
        restore(stack, other, replace=True)
    rewritten(file, other, employees=employees.replace("department", "apartment", 1))
    with pytest.raises(SightlineError, match="columns that are not known"):
        restore(stack, other, replace=True)
    assert everything(stack) == before
    with pytest.raises(SightlineError, match="No such file"):
        restore(stack, tmp_path / f"{uuid4()}.zip")
    with pytest.raises(SightlineError, match="cannot be written"):
        backup(stack, tmp_path / "missing" / "people.zip")
