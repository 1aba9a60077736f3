"""Two people of one name: a code tells them apart, everywhere a name is taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.enrolment.bulk import EnrolmentReport, enrol_all
from ops.enrolment.csv_import import read_rows
from ops.erasure import subject
from schemas import sightline_pb2 as pb
from sightline.models.interface import ModelPack
from sightline.models.packs import load_pack
from sightline.people import employee_changes, employees, persons
from sightline.people.employees import EmployeeProfile
from sightline.people.enrol import EnrolledEmployee, enrol, refresh_templates
from sightline.runtime.errors import ConflictError, NotFoundError, PhotoError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.storage.objects import open_store
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.visitor_log import VisitorLog
from tests.api_support import client_of, good, photo_of, problem
from tests.stack.commands_support import command, run, sightline_json
from tests.stack.people_support import nobody_of, photo, rows, saved
from tests.stack.sinks_support import World, new_world, write

pytestmark = [pytest.mark.stack, pytest.mark.models]

MARIA = "Maria Garcia"
LISTED = "Maria Garcia is the name of 2 people: Maria Garcia (1234), Maria Garcia (5678); say which"


@pytest.fixture(scope="module")
def pack(stack: Settings) -> ModelPack:
    return load_pack(stack.model_copy(update={"pack": "dlib"}))


@pytest.fixture(autouse=True)
def _nobody(stack: Settings) -> Iterator[None]:
    with nobody_of(stack, "dlib"):
        yield


def enrolled(
    stack: Settings, pack: ModelPack, who: str, code: str | None, *, force: bool = False
) -> EnrolledEmployee:
    profile = EmployeeProfile(employee_id_code=code)
    return enrol(stack, pack, MARIA, [photo(who)], profile, force=force)


@pytest.fixture
def both(stack: Settings, pack: ModelPack) -> tuple[EnrolledEmployee, EnrolledEmployee]:
    return enrolled(stack, pack, "Ana Lima", "1234"), enrolled(stack, pack, "Carl Weber", "5678")


def test_a_second_one_needs_a_code(stack: Settings, pack: ModelPack) -> None:
    first = enrolled(stack, pack, "Ana Lima", None)
    with pytest.raises(PhotoError, match=r"another person of this name needs a code \(--code\)"):
        enrolled(stack, pack, "Carl Weber", None)
    second = enrolled(stack, pack, "Carl Weber", "5678")
    assert second.is_new
    assert second.person_id != first.person_id
    # The first has no code yet: her photos give her one.
    again = enrolled(stack, pack, "Ana Lima", "1234")
    assert (again.person_id, again.is_new, again.added) == (first.person_id, False, 0)
    with pytest.raises(ConflictError, match="1234"):
        enrolled(stack, pack, "Ana Lima", None)
    with pytest.raises(PhotoError, match=r"Maria Garcia \(1234\) is enrolled with this face"):
        enrolled(stack, pack, "Ana Lima", "9999")
    with pytest.raises(ConflictError, match=r"this code already: Maria Garcia \(1234\)"):
        enrol(stack, pack, "Ada", [photo("Ben Archer")], EmployeeProfile(employee_id_code="1234"))
    refreshed = [one for one in refresh_templates(stack, pack) if one.name == MARIA]
    assert [(one.added, one.refused) for one in refreshed] == [(0, ()), (0, ())]


def test_their_photos_are_kept_apart(
    stack: Settings, pack: ModelPack, both: tuple[EnrolledEmployee, EnrolledEmployee]
) -> None:
    first, second = both
    keys = rows(
        stack,
        "SELECT photo_url FROM face_templates WHERE employee_id = ANY(%s)",
        [first.person_id, second.person_id],
    )
    assert len(set(keys)) == 2
    employee_changes.remove(stack, f"{MARIA} (1234)")
    ((left,),) = rows(
        stack, "SELECT photo_url FROM face_templates WHERE employee_id = %s", second.person_id
    )
    assert open_store(stack).get(left)
    assert set(keys) - {(left,)}
    with pytest.raises(NotFoundError):
        employee_changes.remove(stack, "1234")


def test_commands_find_each_and_list_the_codes_of_both(
    stack: Settings, both: tuple[EnrolledEmployee, EnrolledEmployee], tmp_path: Path
) -> None:
    first, second = both
    for text in (f"{MARIA} (5678)", "5678", str(second.person_id), "Maria\u00a0Garcia  (5678)"):
        assert sightline_json(stack, "employees", "show", text)["id"] == str(second.person_id)
        with connect(stack) as db:
            assert persons.find_person(db.cursor(), text) == second.global_id
            assert subject.find(db.cursor(), text).employee == second.person_id
    assert "5678" in run(stack, "employees", COLUMNS="200")
    run(stack, "employees", "set", "1234", "--department", "Lab")
    assert sightline_json(stack, "employees", "show", "1234")["department"] == "Lab"
    assert sightline_json(stack, "employees", "show", "5678")["department"] is None
    for words in (
        ("employees", "show", MARIA),
        ("employees", "set", MARIA, "--status", "left"),
        ("employees", "remove", MARIA),
        ("logs", "access", "--person", MARIA),
        ("persons", "show", MARIA),
        ("audit", "list", "--person", MARIA),
        ("erase", "person", MARIA),
    ):
        refused = command(stack, *words)
        assert refused.exit_code != 0, words
        assert LISTED in f"{refused.output} {refused.exception}", words
    assert sightline_json(stack, "audit", "list", "--person", "1234")
    run(stack, "employees", "remove", "5678")
    # A name that one person has is enough again.
    assert sightline_json(stack, "employees", "show", MARIA)["id"] == str(first.person_id)


def test_an_erasure_is_of_one_of_them(
    stack: Settings, both: tuple[EnrolledEmployee, EnrolledEmployee]
) -> None:
    first, second = both
    run(stack, "erase", "person", f"{MARIA} (1234)")
    assert rows(stack, "SELECT id FROM employees WHERE name = %s", MARIA) == [(second.person_id,)]
    ((left,),) = rows(
        stack, "SELECT photo_url FROM face_templates WHERE employee_id = %s", second.person_id
    )
    assert open_store(stack).get(left)
    assert first.person_id != second.person_id


def test_a_list_has_both_by_code(stack: Settings, pack: ModelPack, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    saved(folder, "Maria Garcia (1234).png", photo("Ana Lima"))
    saved(folder, "5678.png", photo("Carl Weber"))
    people = tmp_path / "people.csv"

    def results(text: str) -> list[tuple[str, str]]:
        people.write_text(text)
        report = EnrolmentReport(tmp_path / "report.csv")
        list(enrol_all(stack, pack, read_rows(people), folder, report))
        return [(outcome.name, outcome.result) for outcome in report.finish()]

    both = "name,code\nMaria Garcia,1234\nMaria Garcia,5678\n"
    labels = [f"{MARIA} (1234)", f"{MARIA} (5678)"]
    assert results(both) == [(label, "enrolled") for label in labels]
    assert results(both) == [(label, "enrolled") for label in labels]  # done by the first run
    for path in folder.iterdir():
        path.unlink()
    changed = "name,code,department\nMaria Garcia,1234,Lab\nMaria Garcia,5678,\n"
    assert results(changed) == [(labels[0], "updated"), (labels[1], "unchanged")]
    assert results("name\nMaria Garcia\n") == [(MARIA, "refused")]
    assert results("name,code\nMaria Garcia,9\n") == [(MARIA, "refused")]


def test_a_backup_keeps_the_codes(
    stack: Settings, both: tuple[EnrolledEmployee, EnrolledEmployee], tmp_path: Path
) -> None:
    query = (
        "SELECT id, name, employee_id_code FROM employees WHERE name = 'Maria Garcia' ORDER BY id"
    )
    before = rows(stack, query)
    path = tmp_path / "people.zip"
    run(stack, "employees", "backup", str(path))
    with connect(stack) as db, db.cursor() as cursor:  # they exchange their codes meanwhile
        cursor.execute("UPDATE employees SET employee_id_code = NULL WHERE name = %s", ("Nobody",))
        employees.update(cursor, both[0].person_id, EmployeeProfile(employee_id_code="x"))
        employees.update(cursor, both[1].person_id, EmployeeProfile(employee_id_code="1234"))
    run(stack, "employees", "restore", str(path), "--replace")
    assert rows(stack, query) == before
    assert {code for _id, _name, code in before} == {"1234", "5678"}


def test_the_api_takes_a_code_and_lists_the_codes(stack: Settings, pack: ModelPack) -> None:
    with client_of(stack) as client:

        def add(member: int, **fields: str) -> object:
            files = {"photos": ("p.jpg", photo_of(member), "image/jpeg")}
            return client.post("/api/v1/employees", data={"name": MARIA, **fields}, files=files)

        first = good(add(0, employee_id_code="1234"), 201)
        told = problem(add(1), 409)
        assert "needs a code" in told["detail"]
        second = good(add(1, employee_id_code="5678"), 201)
        assert second["employee_id"] != first["employee_id"]
        (row,) = good(client.get("/api/v1/employees", params={"code": "5678"}))["items"]
        assert (row["name"], row["employee_id_code"]) == (MARIA, "5678")
        found = good(client.get("/api/v1/employees", params={"search": "maria gar"}))["items"]
        assert {row["employee_id_code"] for row in found} == {"1234", "5678"}
        photos = {"photos": ("p.jpg", photo_of(1), "image/jpeg")}
        url = f"/api/v1/employees/{second['employee_id']}/photos"
        assert good(client.post(url, files=photos))["employee_id"] == second["employee_id"]
        for url, name in (
            ("/api/v1/sightings", "person"),
            ("/api/v1/visitor-logs", "person"),
            ("/api/v1/persons", "name"),
            ("/api/module1/access-logs", "person_name"),
        ):
            assert LISTED in problem(client.get(url, params={name: MARIA}), 409)["detail"]


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


def test_rows_of_the_logs_are_found_by_code(stack: Settings, world: World) -> None:
    first, second = world.add_employee("Rosa"), world.add_employee("Other")
    name = world.name_of(first)
    for employee, code in ((first, "r1"), (second, "r2")):
        world.db.execute(
            "UPDATE employees SET name = %s, employee_id_code = %s WHERE id = %s",
            (name, f"{code}-{world.id}", employee),
        )
    seen = [
        world.sighting(employee=first, start=0, decided=1),
        world.sighting(employee=second, start=5, decided=6),
    ]
    write(stack, AccessLog(stack), seen)
    write(stack, VisitorLog(stack), [world.motion(pb.MotionEvent.STARTED, 0), *seen])
    write(stack, PersonState(stack), seen, idle=True)
    with client_of(stack) as client:
        for employee, code in ((first, f"r1-{world.id}"), (second, f"r2-{world.id}")):
            for text in (code, f"{name} ({code})"):
                for log, url, key in (
                    ("access", "sightings", "employee_id"),
                    ("visitors", "visitor-logs", "employee_id"),
                ):
                    (row,) = sightline_json(stack, "logs", log, "--person", text)
                    assert row[key] == employee
                    (row,) = good(client.get(f"/api/v1/{url}", params={"person": text}))["items"]
                    assert row[key] == employee
                (row,) = sightline_json(stack, "logs", "persons", "--person", text)
                assert row["person_id"] == employee
                (row,) = good(client.get("/api/v1/persons", params={"name": text}))["items"]
                assert (row["person_id"], row["assigned_name"]) == (employee, name)
