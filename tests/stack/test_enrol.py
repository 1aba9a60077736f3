"""Enrolment with real photos: what enters, what is refused, and what the gallery hears of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from schemas import sightline_pb2 as pb
from schemas.topics import GALLERY
from sightline.models.interface import ModelPack
from sightline.models.packs import load_pack
from sightline.people import employees
from sightline.people.employees import EmployeeProfile
from sightline.people.enrol import EnrolledEmployee, refresh_templates
from sightline.people.enrol import enrol as enrol_photos
from sightline.people.picture_files import read_photo
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import outbox
from sightline.storage.db import connect
from sightline.storage.objects import open_store
from sightline.storage.outbox import OutboxRelay, deliver
from tests.stack.commands_support import run, sightline_json
from tests.stack.people_support import nobody_of
from tests.support import (
    Running,
    cut_off_at,
    environment,
    eventually,
    program,
    read_topic,
    sightline_command,
)

pytestmark = [pytest.mark.stack, pytest.mark.models]


def enrol(
    stack: Settings, pack: ModelPack, name: str, paths: list[Path], details: EmployeeProfile
) -> EnrolledEmployee:
    return enrol_photos(stack, pack, name, [read_photo(path) for path in paths], details)


def group_photo() -> Path:
    spec = find_spec("insightface")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "images" / "t1.jpg"


@pytest.fixture(scope="module")
def pack(stack: Settings) -> Iterator[ModelPack]:
    with nobody_of(stack, "dlib"):
        yield load_pack(stack.model_copy(update={"pack": "dlib"}))


@pytest.fixture(scope="module")
def portraits(pack: ModelPack, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photos of one person each, from left to right."""
    folder = tmp_path_factory.mktemp("portraits")
    image = np.asarray(cv2.imread(str(group_photo())), np.uint8)
    found = []
    for rank, one in enumerate(sorted(pack.faces.detect([image])[0], key=lambda face: face.box[0])):
        x1, y1, x2, y2 = (int(side) for side in one.box)
        pad = (x2 - x1) // 3
        path = folder / f"{rank}.png"
        cv2.imwrite(str(path), image[max(0, y1 - 2 * pad) : y2 + pad, max(0, x1 - pad) : x2 + pad])
        found.append(path)
    assert len(found) == 6
    return found


def gallery(stack: Settings, person_id: str) -> list[pb.GalleryPerson | None]:
    """What the topic has said of a person, tombstones as None."""
    return [
        pb.GalleryPerson.FromString(record.value) if record.value else None
        for record in read_topic(stack, GALLERY.name)
        if record.key == person_id.encode()
    ]


def people(stack: Settings) -> dict[str, dict[str, Any]]:
    with connect(stack) as db:
        return {row["name"]: row for row in employees.list_employees(db)}


def waiting(stack: Settings) -> int:
    with connect(stack) as db, db.cursor() as cursor:
        (left,) = cursor.execute("SELECT count(*) FROM outbox").fetchone() or (0,)
        return int(left)


def test_a_person_is_enrolled_changed_and_removed_by_command(
    stack: Settings, portraits: list[Path]
) -> None:
    name = "Enrol Ann"
    done = sightline_json(
        stack, "enrol", name, str(portraits[0]),
        "--department", "Lab", "--email", "ann@example.org", "--code", "E1", "--not-authorized",
    )  # fmt: skip
    assert (done["is_new"], done["added"], done["pack"]) == (True, 1, "dlib")
    assert waiting(stack) == 0, "the command delivers what it has written"
    shown = sightline_json(stack, "employees", "show", name)
    assert (shown["department"], shown["email"]) == ("Lab", "ann@example.org")
    assert (shown["is_authorized"], shown["photo_url"]) == (
        False, "enrollment_photos/Enrol_Ann.jpg",
    )  # fmt: skip
    assert open_store(stack).get(shown["photo_url"]).startswith(b"\xff\xd8")
    (first,) = gallery(stack, done["person_id"])
    assert first is not None
    assert (first.name, first.is_authorized, len(first.templates)) == (name, False, 1)
    assert np.linalg.norm(np.frombuffer(first.templates[0].vector, "<f4")) == pytest.approx(1)

    run(stack, "employees", "set", name, "--status", "suspended", "--authorized")
    changed = gallery(stack, done["person_id"])[-1]
    assert changed is not None
    assert (changed.status, changed.is_authorized) == ("suspended", True)
    assert changed.revision > first.revision
    assert name in {one["name"] for one in sightline_json(stack, "employees")}

    run(stack, "employees", "remove", name)
    assert gallery(stack, done["person_id"])[-1] is None
    assert name not in people(stack)
    with pytest.raises(SightlineError):
        open_store(stack).get(shown["photo_url"])


def test_enrolling_again_adds_looks_to_the_same_person(
    stack: Settings, pack: ModelPack, portraits: list[Path], tmp_path: Path
) -> None:
    mirrored = tmp_path / "mirrored.jpg"
    with Image.open(portraits[0]) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).convert("RGB").save(mirrored)
    first = enrol(stack, pack, "Enrol Bea", [portraits[0]], EmployeeProfile())
    same = enrol(
        stack, pack, "Enrol  Bea ", [portraits[0], mirrored], EmployeeProfile(department="Lab")
    )
    assert (same.person_id, same.is_new, same.added) == (first.person_id, False, 1)
    deliver(stack)
    last = gallery(stack, str(first.person_id))[-1]
    assert last is not None
    assert len(last.templates) == 2
    assert people(stack)["Enrol Bea"]["department"] == "Lab"
    kept = list(open_store(stack).keys("enrollment_photos/Enrol_Bea"))
    assert kept == ["enrollment_photos/Enrol_Bea-2.jpg", "enrollment_photos/Enrol_Bea.jpg"]


def test_a_photo_has_to_show_exactly_one_face(
    stack: Settings, pack: ModelPack, portraits: list[Path], tmp_path: Path
) -> None:
    nobody = tmp_path / "nobody.jpg"
    Image.new("RGB", (400, 300), "lightgrey").save(nobody)
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(group_photo().read_bytes()[:5000])
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    small = tmp_path / "small.png"
    with Image.open(portraits[2]) as picture:
        blurred = picture.resize((12, 14)).resize(picture.size)
        blurred.save(small)
    refused = {
        group_photo(): "6 faces found",
        nobody: "no face found",
        torn: "the picture is damaged",
        text: "no picture that can be read",
        tmp_path / "missing.jpg": "No such file",
    }
    for photo, why in refused.items():
        with pytest.raises(SightlineError, match=why) as caught:
            enrol(stack, pack, "Enrol Cid", [portraits[2], photo], EmployeeProfile())
        assert str(photo) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(SightlineError, match=r"small\.png"):
        enrol(stack, pack, "Enrol Cid", [small], EmployeeProfile())
    assert "Enrol Cid" not in people(stack)
    assert list(open_store(stack).keys("enrollment_photos/Enrol_Cid")) == []


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 10_000, "line\nbreak", "nul\x00", "\udcff", "unknown", "bidi\u202e"]
)
def test_a_name_that_cannot_be_is_one_line(
    stack: Settings, pack: ModelPack, portraits: list[Path], name: str
) -> None:
    with pytest.raises(SightlineError) as caught:
        enrol(stack, pack, name, [portraits[0]], EmployeeProfile())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_an_address_that_somebody_has_is_one_line_and_nothing_is_written(
    stack: Settings, pack: ModelPack, portraits: list[Path]
) -> None:
    enrol(stack, pack, "Enrol Dan", [portraits[3]], EmployeeProfile(email="dan@example.org"))
    with pytest.raises(SightlineError, match="e-mail address already"):
        enrol(stack, pack, "Enrol Eve", [portraits[2]], EmployeeProfile(email="dan@example.org"))
    with pytest.raises(SightlineError, match="no e-mail address"):
        enrol(stack, pack, "Enrol Eve", [portraits[2]], EmployeeProfile(email="nonsense"))
    assert "Enrol Eve" not in people(stack)
    assert list(open_store(stack).keys("enrollment_photos/Enrol_Eve")) == []


def test_refreshing_embeds_the_stored_photos_with_the_pack_of_today(
    stack: Settings, pack: ModelPack, portraits: list[Path]
) -> None:
    done = enrol(stack, pack, "Enrol Fay", [portraits[5]], EmployeeProfile())
    # The same models under another name stand for the pack that comes after.
    later = ModelPack("later", pack.persons, pack.faces, pack.embedder)
    report = {one.name: one for one in refresh_templates(stack, later)}
    assert (report["Enrol Fay"].added, report["Enrol Fay"].refused) == (1, ())
    assert {one.added for one in refresh_templates(stack, later)} == {0}
    deliver(stack)
    last = gallery(stack, str(done.person_id))[-1]
    assert last is not None
    assert {one.pack for one in last.templates} == {"dlib", "later"}


@contextmanager
def outbox_service(stack: Settings) -> Iterator[Running]:
    with program(sightline_command("run", "outbox"), env=environment(stack.home)) as process:
        yield process


def test_the_outbox_service_waits_for_a_database_that_goes_away(stack: Settings) -> None:
    with outbox_service(stack) as process:
        with cut_off_at(stack, "outbox"):
            pass
        with connect(stack) as db, db.cursor() as cursor:
            employees.publish(
                cursor, employees.find_or_add(cursor, "Enrol Hal", EmployeeProfile())[0]
            )
        eventually(lambda: waiting(stack) == 0)
        assert process.poll() is None, "the same process, never restarted"


def test_the_outbox_service_delivers_what_a_command_could_not(
    stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(stack)
    with connect(stack) as db, db.cursor() as cursor:
        person, _ = employees.find_or_add(cursor, "Enrol Gus", EmployeeProfile())
        employees.publish(cursor, person)
        employees.update(cursor, person, EmployeeProfile(department="Later"))
        employees.publish(cursor, person)

    monkeypatch.setattr(outbox, "_DELIVERY_TIMEOUT_SECONDS", 1.0)
    away = stack.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    relay = OutboxRelay(away)
    with pytest.raises(InfrastructureError):
        relay.drain()
    relay.close()
    assert waiting(stack) == 2

    with outbox_service(stack) as process:
        eventually(lambda: waiting(stack) == 0)
        process.terminate()
        assert process.wait(120) == 0
    revisions = [one.revision for one in gallery(stack, str(person)) if one is not None]
    assert revisions == sorted(revisions)
    assert len(revisions) == 2
