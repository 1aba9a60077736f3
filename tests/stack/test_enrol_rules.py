"""Whose photos they are: one person, nobody else's face, and one of two who come at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from PIL import Image

from schemas import ids
from sightline.models.interface import ModelPack
from sightline.models.packs import load_pack
from sightline.people import employee_changes
from sightline.people.employees import EmployeeProfile
from sightline.people.enrol import EnrolledEmployee, enrol
from sightline.people.photo_rejections import Reason
from sightline.people.photos import template_of_photo
from sightline.runtime.errors import ConflictError, NotFoundError, PhotoError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.objects import open_store
from sightline.storage.outbox import deliver
from tests.loaded import load_dlib_pack
from tests.sealed import PLAIN_AND_SEALED
from tests.stack.commands_support import run, sightline_json
from tests.stack.people_support import encoded, gallery, met, nobody_of, photo, rows
from tests.support import run_sightline

pytestmark = [pytest.mark.stack, pytest.mark.models]


@pytest.fixture(scope="module")
def pack(stack: Settings) -> ModelPack:
    return load_pack(stack.model_copy(update={"pack": "dlib"}))


@pytest.fixture(autouse=True)
def _nobody(stack: Settings) -> Iterator[None]:
    with nobody_of(stack, "dlib"):
        yield


def names(stack: Settings) -> set[str]:
    return {name for (name,) in rows(stack, "SELECT name FROM employees")}


def photos_of(stack: Settings, name: str) -> list[str]:
    return list(open_store(stack).keys(f"enrollment_photos/{name.replace(' ', '_')}"))


def refused(reason: Reason, action: Callable[[], EnrolledEmployee]) -> str:
    with pytest.raises(PhotoError) as caught:
        action()
    assert caught.value.reason == reason, str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_photos_of_two_people_are_not_one_person(stack: Settings, pack: ModelPack) -> None:
    mixed = [photo("Ana Lima"), photo("Ella Quist"), photo("Ana Lima", light=0.8)]
    why = refused(
        Reason.FACES_DISAGREE, lambda: enrol(stack, pack, "Rules Ana", mixed, EmployeeProfile())
    )
    assert why.startswith("Ella Quist"), "the odd one is named"
    assert "Rules Ana" not in names(stack)
    assert photos_of(stack, "Rules Ana") == []

    enrol(stack, pack, "Rules Ana", mixed[:1], EmployeeProfile())
    others = [photo("Ella Quist"), photo("Ella Quist", light=0.8), photo("Ella Quist", light=0.6)]
    why = refused(
        Reason.FACES_DISAGREE, lambda: enrol(stack, pack, "Rules Ana", others, EmployeeProfile())
    )
    assert "enrolled with this name" in why, "three new photos do not outvote who is enrolled"
    done = enrol(stack, pack, "Rules Ana", others[:1], EmployeeProfile(), force=True)
    assert done.added == 1


@PLAIN_AND_SEALED
def test_a_face_is_enrolled_under_one_name(stack: Settings, pack: ModelPack) -> None:
    first = enrol(stack, pack, "Rules Ben", [photo("Ben Archer")], EmployeeProfile())
    again = [photo("Ben Archer", light=0.75)]
    why = refused(
        Reason.ALREADY_ENROLLED, lambda: enrol(stack, pack, "Rules Bert", again, EmployeeProfile())
    )
    assert "Rules Ben" in why
    assert "Rules Bert" not in names(stack)
    # To the same name it is another look.
    more = enrol(stack, pack, "Rules Ben", again, EmployeeProfile())
    assert (more.person_id, more.is_new, more.added) == (first.person_id, False, 1)
    assert {first.face_id, more.face_id} == {
        template for (template,) in rows(
            stack, "SELECT template_id FROM face_templates WHERE employee_id = %s", first.person_id
        )
    }  # fmt: skip
    twin = enrol(stack, pack, "Rules Bert", again, EmployeeProfile(), force=True)
    assert twin.is_new
    assert twin.global_id == ids.global_id(str(twin.person_id))


def test_whoever_is_removed_can_be_enrolled_again(stack: Settings, pack: ModelPack) -> None:
    first = enrol(stack, pack, "Rules Carl", [photo("Carl Weber")], EmployeeProfile())
    assert employee_changes.remove(stack, "Rules Carl") == 1
    assert photos_of(stack, "Rules Carl") == []
    with pytest.raises(NotFoundError):
        employee_changes.remove(stack, first.person_id)
    second = enrol(stack, pack, "Rules Karl", [photo("Carl Weber")], EmployeeProfile())
    assert second.person_id != first.person_id


def at_once(*actions: Callable[[], EnrolledEmployee]) -> list[EnrolledEmployee | SightlineError]:
    barrier = Barrier(len(actions))

    def run(action: Callable[[], EnrolledEmployee]) -> EnrolledEmployee | SightlineError:
        barrier.wait(120)
        try:
            return action()
        except SightlineError as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


@pytest.fixture(scope="module")
def second() -> ModelPack:
    """Models are of one thread each, as of one process: not those that all tests share."""
    return load_dlib_pack.__wrapped__()


def test_of_two_who_take_one_name_at_once_one_gets_it(
    stack: Settings, pack: ModelPack, second: ModelPack
) -> None:
    done = at_once(
        lambda: enrol(
            stack, pack, "Rules Dee", [photo("Ana Lima")], EmployeeProfile(), new_only=True
        ),
        lambda: enrol(
            stack, second, "Rules Dee", [photo("Ella Quist")], EmployeeProfile(), new_only=True
        ),
    )
    won = [each for each in done if isinstance(each, EnrolledEmployee)]
    lost = [each for each in done if isinstance(each, SightlineError)]
    assert len(won) == 1
    assert [type(error) for error in lost] == [ConflictError]
    assert rows(
        stack, "SELECT count(*) FROM face_templates WHERE employee_id = %s", won[0].person_id
    ) == [(1,)]
    assert len(photos_of(stack, "Rules Dee")) == 1


def test_of_two_names_for_one_face_at_once_one_is_refused(
    stack: Settings, pack: ModelPack, second: ModelPack
) -> None:
    done = at_once(
        lambda: enrol(stack, pack, "Rules Eve", [photo("Carl Weber")], EmployeeProfile()),
        lambda: enrol(stack, second, "Rules Eva", [photo("Carl Weber")], EmployeeProfile()),
    )
    [error] = [each for each in done if isinstance(each, PhotoError)]
    assert error.reason == Reason.ALREADY_ENROLLED
    assert len(names(stack) & {"Rules Eve", "Rules Eva"}) == 1


def test_nothing_is_left_of_an_enrolment_that_fails_late(
    stack: Settings, pack: ModelPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline.people.employees.MAX_TEMPLATES", 1)
    two = [photo("Ana Lima"), photo("Ana Lima", light=0.7)]
    refused(Reason.TOO_MANY_PHOTOS, lambda: enrol(stack, pack, "Rules Fay", two, EmployeeProfile()))
    assert "Rules Fay" not in names(stack)
    assert photos_of(stack, "Rules Fay") == [], "the first photo was written, and deleted again"


def test_a_photo_whose_enrolment_was_killed_is_found_and_deleted(
    stack: Settings, pack: ModelPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As kill -9 leaves it: the object is there, and the transaction never came to its end."""
    with monkeypatch.context() as patch:
        patch.setattr("sightline.storage.objects.FolderStore.delete", lambda self, key: None)
        patch.setattr("sightline.people.employees.MAX_TEMPLATES", 0)
        with pytest.raises(PhotoError):
            enrol(stack, pack, "Rules Liv", [photo("Ana Lima")], EmployeeProfile())
    assert len(photos_of(stack, "Rules Liv")) == 1
    stale = "SELECT count(*) FROM stale_objects WHERE key LIKE '%%Rules_Liv%%'"
    assert rows(stack, stale) == [(1,)], "the snapshot sink deletes what is stale"
    enrol(stack, pack, "Rules Liv", [photo("Ana Lima")], EmployeeProfile())
    assert rows(stack, stale) == [(0,)], "and leaves alone what was written again"


@PLAIN_AND_SEALED
def test_a_stranger_who_enrols_keeps_their_history(stack: Settings, pack: ModelPack) -> None:
    seen = template_of_photo(photo("Ella Quist", light=0.9), pack, stack).embedding
    other = template_of_photo(photo("Ben Archer"), pack, stack).embedding
    stranger, track = met(stack, seen, "dlib")
    somebody, _ = met(stack, other, "dlib")
    done = enrol(stack, pack, "Rules Gus", [photo("Ella Quist")], EmployeeProfile())
    assert done.linked == [stranger]
    assert rows(
        stack, "SELECT global_id, name FROM person_tracks WHERE track_uuid = %s", track
    ) == [(done.global_id, "Rules Gus")]
    assert rows(
        stack, "SELECT into_global_id FROM person_aliases WHERE global_id = %s", stranger
    ) == [(done.global_id,)]
    assert rows(stack, "SELECT count(*) FROM detected_persons WHERE global_id = %s", somebody) == [
        (1,)
    ]
    again = enrol(stack, pack, "Rules Gus", [photo("Ella Quist", light=0.7)], EmployeeProfile())
    assert again.linked == []


def test_a_stranger_whom_somebody_told_apart_is_left_alone(
    stack: Settings, pack: ModelPack
) -> None:
    first = enrol(stack, pack, "Rules Hal", [photo("Ben Archer")], EmployeeProfile())
    seen = template_of_photo(photo("Ben Archer", light=0.9), pack, stack).embedding
    stranger, _ = met(stack, seen, "dlib")
    with connect(stack) as db:
        db.execute(
            "WITH said AS (INSERT INTO corrections (correction_id, kind, details) VALUES"
            " (gen_random_uuid(), 'not-this-person', '{}') RETURNING correction_id)"
            " INSERT INTO not_same SELECT least(%(one)s::bigint, %(two)s::bigint),"
            " greatest(%(one)s::bigint, %(two)s::bigint), correction_id FROM said",
            {"one": stranger, "two": first.global_id},
        )
    again = enrol(stack, pack, "Rules Hal", [photo("Ben Archer", light=0.7)], EmployeeProfile())
    assert again.linked == []


def test_removing_takes_the_name_off_snapshots_and_the_face_off_tracks(
    stack: Settings, pack: ModelPack
) -> None:
    done = enrol(stack, pack, "Rules Ida", [photo("Ana Lima")], EmployeeProfile())
    sighting, track = ids.sighting_id("rules-ida", 0), ids.track_id("rules-cam", 1, 0)
    with connect(stack) as db:
        db.execute(
            "INSERT INTO snapshot_owners (sighting_id, track_uuid, epoch, camera_id, global_id,"
            " persons_name, decided_at, decision) VALUES (%s, %s, 0, 'rules-cam', %s, 'Rules Ida',"
            " now(), 2)",
            (sighting, track, done.global_id),
        )
        db.execute(
            "INSERT INTO person_tracks (track_uuid, camera_id, first_seen, last_seen, last_box,"
            " global_id, person_id, name, embedding, pack) VALUES"
            " (%s, 'rules-cam', now(), now(), '{1,2,3,4}', %s, %s, 'Rules Ida', %s, 'dlib')",
            (
                track,
                done.global_id,
                done.person_id,
                template_of_photo(photo("Ana Lima"), pack, stack).embedding,
            ),
        )
    run(stack, "employees", "remove", "Rules Ida")
    assert rows(
        stack, "SELECT persons_name FROM snapshot_owners WHERE sighting_id = %s", sighting
    ) == [(None,)]
    assert rows(stack, "SELECT count(*) FROM stale_snapshots WHERE sighting_id = %s", sighting) == [
        (1,)
    ]
    assert rows(
        stack, "SELECT person_id, name, embedding FROM person_tracks WHERE track_uuid = %s", track
    ) == [(None, None, None)]
    assert rows(
        stack,
        "SELECT kind FROM corrections WHERE (details ->> 'global_id')::bigint = %s",
        done.global_id,
    ) == [("forget",)], "nor is that face a stranger's now"
    assert str(done.person_id) not in gallery(stack)
    assert photos_of(stack, "Rules Ida") == []
    assert rows(stack, "SELECT count(*) FROM stale_objects WHERE key LIKE '%%Rules_Ida%%'") == [
        (0,)
    ]


def test_what_is_said_again_changes_nothing(stack: Settings, pack: ModelPack) -> None:
    details = EmployeeProfile(department="Lab", status="suspended")
    done = enrol(stack, pack, "Rules Jan", [photo("Carl Weber")], details)
    deliver(stack)
    revision = gallery(stack)[str(done.person_id)].revision
    again = enrol(stack, pack, "Rules Jan", [photo("Carl Weber")], details)
    assert (again.changed, again.added, again.face_id) == (False, 0, done.face_id)
    assert not employee_changes.change(stack, "Rules Jan", details)
    assert employee_changes.change(stack, done.person_id, EmployeeProfile(status="left"))
    deliver(stack)
    record = gallery(stack)[str(done.person_id)]
    assert (record.status, record.revision) == ("left", revision + 1)
    with pytest.raises(SightlineError, match="active, suspended, left"):
        employee_changes.change(stack, "Rules Jan", EmployeeProfile(status="asleep"))
    with pytest.raises(NotFoundError):
        employee_changes.change(stack, "Rules Nobody", EmployeeProfile(status="left"))


def test_the_command_says_what_is_wrong_in_a_line(stack: Settings, tmp_path: Path) -> None:
    """Through the command line, as a person sees it: one line and exit status 1."""
    blank = encoded(Image.new("RGB", (300, 300), "grey"), "JPEG")
    (tmp_path / "blank.heic").write_bytes(blank)
    (tmp_path / "ana.heic").write_bytes(photo("Ana Lima").data)
    done = run_sightline(
        stack.home, "enrol", "Rules Kim", str(tmp_path / "blank.heic"), check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().splitlines()[-1].startswith("sightline: ")
    assert "no face found" in done.stderr
    said = sightline_json(stack, "enrol", "Rules Kim", str(tmp_path / "ana.heic"))
    assert (said["is_new"], said["linked"]) == (True, [])
