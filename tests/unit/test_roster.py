"""A list of people: every spelling that spreadsheets write is read, every mistake is one line."""

from pathlib import Path

import pytest

from ops.enrolment.csv_import import CsvPerson, read_rows
from sightline.people.employees import EmployeeProfile
from sightline.runtime.errors import SightlineError

HEAD = "name,photos,department,email,code,status,authorized\n"
ROW = "José Peña,a.jpg; b*.jpg,Lab,jose@example.org,E7,Suspended,No\n"
WANTED = CsvPerson(
    2,
    "José Peña",
    ("a.jpg", "b*.jpg"),
    EmployeeProfile("Lab", "jose@example.org", "E7", "suspended", is_authorized=False),
)


def rows_of(folder: Path, data: bytes) -> list[CsvPerson]:
    path = folder / "people.csv"
    path.write_bytes(data)
    return read_rows(path)


@pytest.mark.parametrize(
    "data",
    [
        (HEAD + ROW).encode(),
        (HEAD + ROW).encode("utf-8-sig"),
        (HEAD + ROW).encode("utf-16"),
        (HEAD + ROW).replace("\n", "\r\n").encode(),
        (HEAD + ROW).replace(",", "\t").encode(),
        (HEAD + ROW.replace("a.jpg; b*.jpg", '"a.jpg; b*.jpg"')).replace(",", ";").encode(),
        (HEAD.upper() + ROW + "\n,,,,,,\n").encode(),
        ("photos,name , email,code,department,status,authorized\n"
         'a.jpg;b*.jpg;,"  José   Peña ",jose@example.org,E7,Lab,suspended,0').encode(),
        # A spreadsheet may write what looks the same in two characters.
        (HEAD + ROW).replace("é", "e\u0301").encode(),
    ],
    ids=["plain", "mark", "UTF-16", "Windows", "tabs", "semicolons", "blank lines", "order",
         "decomposed"],
)  # fmt: skip
def test_what_spreadsheets_write_is_read(tmp_path: Path, data: bytes) -> None:
    assert rows_of(tmp_path, data) == [WANTED]


def test_only_the_name_has_to_be_there(tmp_path: Path) -> None:
    assert rows_of(tmp_path, b"name\nAnn\nBob\n") == [
        CsvPerson(2, "Ann", (), EmployeeProfile()),
        CsvPerson(3, "Bob", (), EmployeeProfile()),
    ]


def test_two_people_of_one_name_have_a_code_each(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, b"name,code\nMaria Garcia,1234\nMaria Garcia,5678\n")
    assert [row.label for row in rows] == ["Maria Garcia (1234)", "Maria Garcia (5678)"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no column `name`"),
        (b"name\n", "nobody in it"),
        (b"person,photos\nAnn,a.jpg\n", "no column `name`"),
        (b"name,foto\nAnn,a.jpg\n", "no column `foto`"),
        (b"name,name\nAnn,Ann\n", "there twice"),
        (b"name,photos\n,a.jpg\n", "line 2: the name is empty"),
        (b"name\nAnn\nBob\nAnn \n", "Ann is in line 2 and in line 4"),
        (b"name,code\nAnn,1,2\n", "line 2 has 3 cells"),
        (b"name,code\nAnn,1\nAnn,\n", "Ann is in line 2 and in line 3; two people of one name"),
        (b"name,code\nAnn,1\nBob,1\n", "the code 1 is in line 2 and in line 3"),
        (b"name,email\nAnn,nowhere\n", "line 2: nowhere is no e-mail"),
        (b"name,status\nAnn,asleep\n", "line 2: a status is active, suspended, left"),
        (b"name,authorized\nAnn,perhaps\n", "yes or no"),
        (b"name\nunknown\n", "line 2: nobody can be called Unknown"),
        ("name\nPeña\n".encode("latin-1"), "byte 7 is not utf-8"),
        (b'name\n"Ann\n', "unexpected end of data"),
        (b"name\nAnn\x00\n", "line 2|NUL"),
        (b"\xff\xfen\x00a\x00m\x00e\x00\n", "not utf-16"),
        (b"name\n" + b"x" * 200_000, "field larger"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(SightlineError, match=why) as caught:
        rows_of(tmp_path, data)
    assert str(caught.value).startswith(str(tmp_path / "people.csv"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SightlineError, match="No such file"):
        read_rows(tmp_path / "people.csv")
