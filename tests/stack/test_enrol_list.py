"""A list of people: every row enrolled or refused in words, and a run goes on where it stopped."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ops.demo.demo_persons import DEMO_PERSONS
from ops.enrolment.bulk import EnrolmentOutcome, EnrolmentReport, PhotoFolder, enrol_all
from ops.enrolment.csv_import import CsvPerson, read_rows
from sightline.models.interface import ModelPack
from sightline.models.packs import load_pack
from sightline.people import employee_changes
from sightline.people.employees import EmployeeProfile
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from tests.stack.people_support import encoded, gallery, nobody_of, photo, rows, saved
from tests.support import environment, eventually, program, run_sightline, sightline_command

pytestmark = [pytest.mark.stack, pytest.mark.models]


@pytest.fixture(scope="module")
def pack(stack: Settings) -> ModelPack:
    return load_pack(stack.model_copy(update={"pack": "dlib"}))


@pytest.fixture(autouse=True)
def _nobody(stack: Settings) -> Iterator[None]:
    with nobody_of(stack, "dlib"):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos named in every way that is possible."""
    folder = tmp_path / "photos"
    saved(folder, "List_Ana.png", photo("Ana Lima"))
    saved(folder, "List_Ana-2.png", photo("Ana Lima", light=0.8))
    saved(folder, "ben/1.png", photo("Ben Archer"))
    saved(folder, "ben/2.png", photo("Ben Archer", light=0.8))
    saved(folder, "List Carl/any.png", photo("Carl Weber"))
    saved(folder, "carl again.png", photo("Carl Weber", light=0.9))
    (folder / "blank.jpg").write_bytes(encoded(Image.new("RGB", (300, 300), "grey"), "JPEG"))
    return folder


LIST = """name,photos,department,email,authorized,status
List Ana,,Lab,ana@example.org,,
List Ben,ben/*.png,,,no,
List Carl,,,,yes,suspended
List Dan,blank.jpg,,,,
List Eve,missing.jpg,,,,
List Fay,,,,,
List Gus,../people.csv,,,,
List Hal,carl again.png,,,,
List Ida,blank.jpg;carl again.png,,,,
"""


def listed(folder: Path, text: str = LIST) -> Path:
    path = folder.parent / "people.csv"
    path.write_text(text)
    return path


def enrol_list(stack: Settings, people: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    done = run_sightline(
        stack.home, "enrol", "--csv", str(people), "--photos", str(people.parent / "photos"),
        "--json", *more, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def again(stack: Settings, pack: ModelPack, people: Path) -> tuple[list[EnrolmentOutcome], int]:
    """The same without a process of its own; and how many rows an earlier run had done."""
    report = EnrolmentReport(people.with_name("people-report.csv"))
    found = enrol_all(stack, pack, read_rows(people), people.parent / "photos", report)
    done_before = sum(was_done for _outcome, was_done in found)
    return report.finish(), done_before


def results(outcomes: list[EnrolmentOutcome]) -> dict[str, tuple[str, str]]:
    return {one.name.removeprefix("List "): (one.result, one.reason) for one in outcomes}


def test_each_row_is_taken_or_refused_and_none_stops_the_others(
    stack: Settings, pack: ModelPack, folder: Path
) -> None:
    people = listed(folder)
    status, said, errors = enrol_list(stack, people)
    assert status == 1
    assert "6 of 9 people were refused" in errors
    expected = {
        "Ana": ("enrolled", ""),
        "Ben": ("enrolled", ""),
        "Carl": ("enrolled", ""),
        "Dan": ("refused", "NO_FACE"),
        "Eve": ("refused", "NO_PHOTO"),
        "Fay": ("refused", "NO_PHOTO"),
        "Gus": ("refused", "NO_PHOTO"),
        "Hal": ("refused", "ALREADY_ENROLLED"),
        "Ida": ("refused", "NO_FACE"),
    }
    outcomes = [EnrolmentOutcome(**row) for row in said["rows"]]
    assert results(outcomes) == expected
    added = {row["name"]: (row["photos"], row["added"]) for row in said["rows"]}
    assert added["List Ana"] == added["List Ben"] == (2, 2)
    in_gallery = {one.name: one for one in gallery(stack).values()}
    assert {name for name in in_gallery if name.startswith("List")} == {
        "List Ana", "List Ben", "List Carl",
    }  # fmt: skip
    assert not in_gallery["List Ben"].is_authorized
    assert in_gallery["List Carl"].status == "suspended"
    report = folder.parent / "people-report.csv"
    assert report.stat().st_mode & 0o777 == 0o600
    with report.open(newline="") as file:
        kept = {
            row["name"].removeprefix("List "): (row["result"], row["reason"])
            for row in csv.DictReader(file)
        }
    assert kept == expected

    # The same again: what is done is known without a look, what was refused is tried again.
    outcomes, done_before = again(stack, pack, people)
    assert (done_before, results(outcomes)) == (3, expected)
    # Somebody who has been removed since is not done, a changed row is not the same.
    employee_changes.remove(stack, "List Ben")
    listed(folder, LIST.replace(",Lab,", ",Hall,"))
    outcomes, done_before = again(stack, pack, people)
    assert done_before == 1
    found = results(outcomes)
    assert (found["Ana"][0], found["Ben"][0]) == ("updated", "enrolled")
    # Without its report all is looked at again, and nothing is different.
    report.unlink()
    before = rows(stack, "SELECT name, revision FROM employees ORDER BY name")
    outcomes, _ = again(stack, pack, people)
    assert [one.result for one in outcomes[:3]] == ["unchanged"] * 3
    assert rows(stack, "SELECT name, revision FROM employees ORDER BY name") == before


def test_a_row_without_photos_changes_whom_it_names(
    stack: Settings, pack: ModelPack, folder: Path
) -> None:
    again(stack, pack, listed(folder, "name,photos\nList Ana,\n"))
    for path in folder.glob("List_Ana*"):
        path.unlink()
    people = listed(folder, "name,status,code\nList Ana,left,A7\n")
    outcomes, _ = again(stack, pack, people)
    assert results(outcomes) == {"Ana": ("updated", "")}
    assert rows(
        stack, "SELECT status, employee_id_code FROM employees WHERE name = 'List Ana'"
    ) == [("left", "A7")]


def test_a_run_that_is_killed_goes_on(stack: Settings, tmp_path: Path) -> None:
    """At any row: here within the list, when some are done and some are not."""
    folder, text = tmp_path / "photos", "name\n"
    for member in DEMO_PERSONS:
        for number in range(1, 3):
            one = photo(member.name, light=1.0 - number / 20)
            saved(folder, f"List {member.name}-{number}.png", one)
        text += f"List {member.name}\n"
    people = listed(folder, text)
    report = tmp_path / "people-report.csv"
    command = sightline_command("enrol", "--csv", str(people), "--photos", str(folder))
    log = report.with_suffix(".log")
    with program(command, log, env=environment(stack.home)):
        eventually(lambda: report.exists() and report.read_text().count("\n") > 2)
    done = rows(stack, "SELECT count(*) FROM employees WHERE name LIKE 'List %%'")[0][0]
    assert 0 < done < len(DEMO_PERSONS)
    status, said, _ = enrol_list(stack, people)
    assert status == 0
    assert said["done_before"] in (done, done - 1), "one may be enrolled and not reported"
    assert {row["result"] for row in said["rows"]} <= {"enrolled", "unchanged"}
    assert rows(
        stack, "SELECT count(*) FROM face_templates JOIN employees ON id = employee_id"
        " WHERE name LIKE 'List %%'"
    ) == [(2 * len(DEMO_PERSONS),)]  # fmt: skip
    kept = {path.name for path in (stack.home / "objects/enrollment_photos").glob("List_*")}
    assert len(kept) == 2 * len(DEMO_PERSONS)
    assert report.read_text().count("\n") == len(DEMO_PERSONS) + 1


def test_a_database_that_goes_away_refuses_nobody(
    stack: Settings, pack: ModelPack, folder: Path
) -> None:
    people = listed(folder)
    report = EnrolmentReport(people.with_name("people-report.csv"))
    found = enrol_all(stack, pack, read_rows(people), folder, report)
    assert next(found)[0].result == "enrolled"
    with connect(stack, autocommit=True) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND query = 'SELECT' AND datname = current_database()"
        )
    with pytest.raises(InfrastructureError, match="run it again") as caught:
        next(found)
    assert "\n" not in str(caught.value)
    outcomes, done_before = again(stack, pack, people)
    assert (done_before, outcomes[1].result) == (1, "enrolled")


def test_a_file_that_is_no_report_is_left_alone(stack: Settings, folder: Path) -> None:
    people = listed(folder)
    with pytest.raises(SightlineError, match="is no report"):
        EnrolmentReport(people)
    with pytest.raises(SightlineError, match="cannot be written"):
        EnrolmentReport(Path("/nonexistent/report.csv"))
    with pytest.raises(SightlineError, match="no folder"):
        PhotoFolder(people)
    done = run_sightline(stack.home, "enrol", "Ann", "--csv", str(people), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "sightline: with --csv everything about people is in the list\n"
    assert people.read_text() == LIST


def test_photos_are_found_by_name(tmp_path: Path) -> None:
    for name in ("José_Peña.JPG", "jose\u0301 pen\u0303a (2).png", "Ann 1.jpg", "Ann.txt", "7.jpg"):
        (tmp_path / name).write_bytes(b"x")
    album = PhotoFolder(tmp_path)
    assert len(album.photos_of(CsvPerson(2, "José Peña", (), EmployeeProfile()))) == 2
    assert [path.name for path in album.photos_of(CsvPerson(2, "Ann", (), EmployeeProfile()))] == [
        "Ann 1.jpg"
    ]
    assert album.photos_of(CsvPerson(2, "Nobody", (), EmployeeProfile())) == []
    assert [
        path.name
        for path in album.photos_of(CsvPerson(2, "Bob", ("7.jpg", "?.jpg"), EmployeeProfile()))
    ] == ["7.jpg"]


def test_a_list_of_another_system_is_enrolled(stack: Settings, folder: Path) -> None:
    people = folder.parent / "people.csv"
    saved(folder, "E-17.png", photo("Ana Lima"))
    text = "sep=;\r\nSurname;Given name;Staff number;Title\r\nPe\u00f1a;List;E-17;Dr\r\n"
    people.write_bytes(text.encode("windows-1252"))
    status, said, errors = enrol_list(stack, people)
    assert status == 0, errors
    assert [(row["name"], row["result"]) for row in said["rows"]] == [
        ("List Pe\u00f1a", "enrolled")
    ]
    assert "was read as Windows-1252" in errors
    assert errors.count("ignored columns: Title") == 1
    assert rows(stack, "SELECT name FROM employees WHERE employee_id_code = 'E-17'") == [
        ("List Pe\u00f1a",)
    ]
