"""A list of people: every row enrolled or refused in words, and a run goes on where it stopped."""

import csv
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sightline.demo.cast import CAST
from sightline.people.bulk import Album
from sightline.people.records import Details
from sightline.people.roster import Row
from sightline.settings import Settings
from tests.stack.people_support import encoded, gallery, nobody_of, photo, rows, saved
from tests.support import (
    ROOT,
    environment,
    eventually,
    run_sightline,
    sightline_command,
    sightline_json,
)

pytestmark = [pytest.mark.stack, pytest.mark.models]


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


def results(said: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        row["name"].removeprefix("List "): (row["result"], row["reason"]) for row in said["rows"]
    }


def test_each_row_is_taken_or_refused_and_none_stops_the_others(
    stack: Settings, folder: Path
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
    assert results(said) == expected
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
    status, said, _ = enrol_list(stack, people)
    assert (status, said["done_before"], results(said)) == (1, 3, expected)
    # Somebody who has been removed since is not done, a changed row is not the same.
    run_sightline(stack.home, "people", "remove", "List Ben")
    listed(folder, LIST.replace(",Lab,", ",Hall,"))
    _, said, _ = enrol_list(stack, people)
    assert said["done_before"] == 1
    found = results(said)
    assert (found["Ana"][0], found["Ben"][0]) == ("updated", "enrolled")
    # Without its report all is looked at again, and nothing is different.
    report.unlink()
    before = rows(stack, "SELECT name, revision FROM employees ORDER BY name")
    _, said, _ = enrol_list(stack, people)
    assert [row["result"] for row in said["rows"]][:3] == ["unchanged"] * 3
    assert rows(stack, "SELECT name, revision FROM employees ORDER BY name") == before


def test_a_row_without_photos_changes_whom_it_names(stack: Settings, folder: Path) -> None:
    enrol_list(stack, listed(folder, "name,photos\nList Ana,\n"))
    for path in folder.glob("List_Ana*"):
        path.unlink()
    people = listed(folder, "name,status,code\nList Ana,left,A7\n")
    status, said, _ = enrol_list(stack, people)
    assert (status, results(said)) == (0, {"Ana": ("updated", "")})
    shown = sightline_json(stack, "people", "show", "List Ana")
    assert (shown["status"], shown["employee_id_code"]) == ("left", "A7")


def test_a_run_that_is_killed_goes_on(stack: Settings, tmp_path: Path) -> None:
    """At any row: here within the list, when some are done and some are not."""
    folder, text = tmp_path / "photos", "name\n"
    for member in CAST:
        for number in range(1, 6):
            one = photo(member.name, light=1.0 - number / 20)
            saved(folder, f"List {member.name}-{number}.png", one)
        text += f"List {member.name}\n"
    people = listed(folder, text)
    report = tmp_path / "people-report.csv"
    command = sightline_command("enrol", "--csv", str(people), "--photos", str(folder))
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(stack.home), stderr=subprocess.DEVNULL
    ) as process:
        eventually(lambda: report.exists() and report.read_text().count("\n") > 2, 60)
        process.kill()
    done = rows(stack, "SELECT count(*) FROM employees WHERE name LIKE 'List %%'")[0][0]
    assert 0 < done < len(CAST)
    status, said, _ = enrol_list(stack, people)
    assert status == 0
    assert said["done_before"] in (done, done - 1), "one may be enrolled and not reported"
    assert {row["result"] for row in said["rows"]} <= {"enrolled", "unchanged"}
    assert rows(
        stack, "SELECT count(*) FROM face_templates JOIN employees ON id = employee_id"
        " WHERE name LIKE 'List %%'"
    ) == [(5 * len(CAST),)]  # fmt: skip
    kept = {path.name for path in (stack.home / "objects/enrollment_photos").glob("List_*")}
    assert len(kept) == 5 * len(CAST)
    assert report.read_text().count("\n") == len(CAST) + 1


def test_a_file_that_is_no_report_is_left_alone(stack: Settings, folder: Path) -> None:
    people = listed(folder)
    for more, why in (
        (("--report", str(people)), "is no report"),
        (("--report", "/nonexistent/report.csv"), "cannot be written"),
        (("--photos", str(people)), "no folder"),
        (("NAME",), "everything about people is in the list"),
    ):
        done = run_sightline(stack.home, "enrol", "--csv", str(people), *more, check=False)
        assert done.returncode == 1
        assert why in done.stderr, (more, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1
    assert people.read_text() == LIST


def test_photos_are_found_by_name(tmp_path: Path) -> None:
    for name in ("José_Peña.JPG", "jose\u0301 pen\u0303a (2).png", "Ann 1.jpg", "Ann.txt", "7.jpg"):
        (tmp_path / name).write_bytes(b"x")
    album = Album(tmp_path)
    assert len(album.of(Row(2, "José Peña", (), Details()))) == 2
    assert [path.name for path in album.of(Row(2, "Ann", (), Details()))] == ["Ann 1.jpg"]
    assert album.of(Row(2, "Nobody", (), Details())) == []
    assert [path.name for path in album.of(Row(2, "Bob", ("7.jpg", "?.jpg"), Details()))] == [
        "7.jpg"
    ]
