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
        (b"name\nPe\x81a\n", "byte 7 is not"),
        (b"Ada Lovelace,E1\nBob,E2\n", "the first line names no column `name`.*put a line"),
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


def noted(folder: Path, data: bytes) -> tuple[list[CsvPerson], list[str]]:
    path = folder / "people.csv"
    path.write_bytes(data)
    notes: list[str] = []
    return read_rows(path, notes.append), [note.replace(f"{path}", "people.csv") for note in notes]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_read_without_a_word(tmp_path: Path, encoding: str) -> None:
    rows, notes = noted(tmp_path, "name;code\nJosé Peña Garcia;0012\n".encode(encoding))
    assert [(row.name, row.code) for row in rows] == [("José Peña Garcia", "0012")]
    assert notes == []


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    rows, notes = noted(tmp_path, "name;department\nZoë Peña;Büro – Süd\n".encode("windows-1252"))
    assert (rows[0].name, rows[0].details.department) == ("Zoë Peña", "Büro – Süd")
    assert notes == [
        "people.csv is not UTF-8 and was read as Windows-1252: check the letters of names"
    ]


@pytest.mark.parametrize(
    ("text", "name", "code"),
    [
        ("Full Name,Employee ID,Department\nAda Lovelace,E7,Lab\n", "Ada Lovelace", "E7"),
        ("FIRST NAME;LAST NAME;STAFF NUMBER\nAda;Lovelace;E7\n", "Ada Lovelace", "E7"),
        ("Surname\tGiven name\tPersonnel No.\nLovelace\tAda\tE7\n", "Ada Lovelace", "E7"),
        ("givenName,sn,employeeNumber,mail\nAda,Lovelace,E7,a@b.c\n", "Ada Lovelace", "E7"),
        ("First name,Name,Badge\nAda,Lovelace,E7\n", "Ada Lovelace", "E7"),
        ("Name,Surname,Badge\nAda,Lovelace,E7\n", "Ada Lovelace", "E7"),
        ("Name,Surname,Badge\nAda Lovelace,Lovelace,E7\n", "Ada Lovelace", "E7"),
        ("DisplayName,givenName,sn,employee_id\nAda Lovelace,Ada,Lovelace,E7\n", "Ada Lovelace",
         "E7"),
        ('sep=;\nname;code\n"Ada ""A"" Lovelace";E7\n', 'Ada "A" Lovelace', "E7"),
        ('sep=,\r\n"Full\nname",code\r\n"Ada\nLovelace",="E7"\r\n', "Ada Lovelace", "E7"),
        ("\n;;\nname;code;\nAda Lovelace;E7;;;\n;;\n\n", "Ada Lovelace", "E7"),
        ("name;code\rAda Lovelace;E7\r", "Ada Lovelace", "E7"),
        ('"name";"department, floor";"code"\n"Ada Lovelace";"Lab, 2";"E7"\n', "Ada Lovelace",
         "E7"),
    ],
)  # fmt: skip
def test_lists_of_other_systems_are_read(tmp_path: Path, text: str, name: str, code: str) -> None:
    (row,), _notes = noted(tmp_path, text.encode())
    assert (row.name, row.code) == (name, code)


def test_other_columns_are_said_once_and_ignored(tmp_path: Path) -> None:
    text = (
        "Name;Title;Work e-mail;E-Mail;Department;Hired\n"
        "Ada;Countess;x@y.z;ada@example.org;Lab;1833\nBob;;;;;\n"
    )
    rows, notes = noted(tmp_path, text.encode())
    assert rows[0].details == EmployeeProfile("Lab", "ada@example.org")
    assert notes == ["people.csv: ignored columns: Title, Work e-mail, Hired"]


def test_cells_with_several_lines_are_one_text(tmp_path: Path) -> None:
    text = 'name,department,photos\n"Ada","Research\nand more","a.jpg\nb.jpg; c.jpg"\n"Bob",,\n'
    ada, bob = noted(tmp_path, text.encode())[0]
    assert ada.details.department == "Research and more"
    assert ada.photos == ("a.jpg", "b.jpg", "c.jpg")
    assert bob.line == 5


def test_lines_are_counted_with_the_separator_s(tmp_path: Path) -> None:
    with pytest.raises(SightlineError, match="line 4: a status"):
        noted(tmp_path, b"sep=;\nname;status\nAda;left\nBob;asleep\n")
