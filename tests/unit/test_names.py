"""Names as people type them: what was enrolled is found, and is printed as it is."""

import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from ops import terminal
from ops.enrolment.bulk import EnrolmentOutcome, EnrolmentReport, PhotoFolder
from ops.enrolment.csv_import import CsvPerson
from schemas.naming import safe_name
from sightline.people.employees import EmployeeProfile
from sightline.people.names import checked_name, normalise_text
from sightline.runtime.errors import PhotoError, SightlineError


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("山田\u3000太郎", "山田 太郎"),  # the wide space of Japanese keyboards
        ("Ada\u00a0Lovelace", "Ada Lovelace"),  # copied from a page
        ("  Ada \u2009 Lovelace\t", "Ada Lovelace"),
        ("علی\u200cرضا", "علی\u200cرضا"),  # Persian spells with a non-joiner
        ("क्\u200dष", "क्\u200dष"),  # Hindi with a joiner
        ("Ada\u200d Lovelace\u200c", "Ada Lovelace"),
        ("\u202bאדה\u202c", "אדה"),  # marks of direction come along with copied text
        ("\ufeffAda", "Ada"),
        ("Jose\u0301", "José"),
        ("Jane Doe [contractor]", "Jane Doe [contractor]"),
    ],
)
def test_a_name_has_one_form(typed: str, stored: str) -> None:
    assert checked_name(typed) == stored
    assert normalise_text(stored) == stored
    for form in ("NFC", "NFD"):
        assert normalise_text(unicodedata.normalize(form, typed)) == stored


@pytest.mark.parametrize(
    "wrong", ["", "\u3000", "\u200d", "Ada\nLovelace", "Ada\0", "\x1b[2J", "unknown"]
)
def test_what_is_no_name_is_refused_in_a_line(wrong: str) -> None:
    with pytest.raises(SightlineError) as caught:
        checked_name(wrong)
    assert "\n" not in str(caught.value)


def test_names_that_differ_in_a_joiner_have_snapshots_of_their_own() -> None:
    assert safe_name("علی\u200cرضا") != safe_name("علیرضا")


def test_details_are_stored_in_the_same_form() -> None:
    profile = EmployeeProfile(department="Re\u0301seau\u00a01").validated()
    assert profile.department == "Réseau 1"


@pytest.mark.parametrize(
    "name", ["Jane [contractor]", "Ada [/night shift]", "Ana :key: Lima", "علی\u200cرضا"]
)
def test_a_name_is_printed_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_line(f"{name} enrolled")
    terminal.print_result({}, f"{name} removed", as_json=False)
    terminal.print_rows([{"name": name}], title="Photos")
    terminal.print_rows([], title=name)
    out = capsys.readouterr().out
    assert out.count(name) == 4, out


def person(name: str, *photos: str, code: str | None = None) -> CsvPerson:
    return CsvPerson(2, name, photos, EmployeeProfile(employee_id_code=code))


def test_files_that_a_mac_leaves_are_no_photos(tmp_path: Path) -> None:
    (tmp_path / "Ada Lovelace").mkdir()
    for name in ("Ada Lovelace/ada.jpg", "Ada Lovelace/._ada.jpg", "._Ada Lovelace.jpg"):
        (tmp_path / name).touch()
    assert PhotoFolder(tmp_path).photos_of(person("Ada Lovelace")) == [
        tmp_path / "Ada Lovelace" / "ada.jpg"
    ]


@pytest.mark.parametrize("suffix", ["jfif", "JPE", "heic", "HEIF", "tif", "tiff", "avif"])
def test_photos_of_all_kinds_are_found(tmp_path: Path, suffix: str) -> None:
    photo = tmp_path / f"Grace.{suffix}"
    photo.touch()
    assert PhotoFolder(tmp_path).photos_of(person("Grace")) == [photo]


@pytest.mark.parametrize("file_form", ["NFC", "NFD"])
@pytest.mark.parametrize("list_form", ["NFC", "NFD"])
def test_a_photo_is_found_however_its_name_is_composed(
    tmp_path: Path, file_form: Literal["NFC", "NFD"], list_form: Literal["NFC", "NFD"]
) -> None:
    photo = tmp_path / unicodedata.normalize(file_form, "José.jpg")
    photo.touch()
    named = unicodedata.normalize(list_form, "José.jpg")
    assert PhotoFolder(tmp_path).photos_of(person("José", named)) == [photo]
    assert PhotoFolder(tmp_path).photos_of(person(unicodedata.normalize(list_form, "José"))) == [
        photo
    ]


def test_a_photo_with_somebody_s_exact_name_is_theirs_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "Maria Garcia.jpg", tmp_path / "Maria Garcia 2.jpg"
    for photo in (first, second):
        photo.touch()
    album = PhotoFolder(tmp_path, [person("Maria Garcia"), person("Maria Garcia 2")])
    assert album.photos_of(person("Maria Garcia")) == [first]
    assert album.photos_of(person("Maria Garcia 2")) == [second]
    alone = PhotoFolder(tmp_path, [person("Maria Garcia")])
    assert set(alone.photos_of(person("Maria Garcia"))) == {first, second}


def test_people_of_one_name_have_photos_by_code(tmp_path: Path) -> None:
    names = (
        "Maria Garcia (1234).jpg", "maria_garcia (1234)-2.png", "5678.jpg", "5678-2.jpg",
        "Maria Garcia.jpg", "Ada.jpg", "77.jpg",
    )  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    people = [
        person("Maria Garcia", code="1234"),
        person("Maria Garcia", code="5678"),
        person("Ada", code="77"),
    ]
    album = PhotoFolder(tmp_path, people)
    found = [{path.name for path in album.photos_of(row)} for row in people]
    assert found == [
        {"Maria Garcia (1234).jpg", "maria_garcia (1234)-2.png"},
        {"5678.jpg", "5678-2.jpg"},
        {"Ada.jpg", "77.jpg"},
    ]


def test_a_file_name_that_is_not_utf8_is_reported_with_its_bytes(tmp_path: Path) -> None:
    name = b"fotograf\xeda.jpg".decode(errors="surrogateescape")
    (tmp_path / name).touch()
    with pytest.raises(PhotoError) as caught:
        PhotoFolder(tmp_path).photos_of(person("Ada", f"{name}x"))
    report = EnrolmentReport(tmp_path / "report.csv")
    report.add(EnrolmentOutcome(2, "Ada", "refused", message=str(caught.value)))
    report.finish()
    assert "fotograf\\udceda.jpg" in (tmp_path / "report.csv").read_text(encoding="utf-8")
