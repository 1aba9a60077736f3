"""Enrolment of a list of people with a report of each row's outcome.

An interrupted enrolment is resumed from its report.
"""

import csv
import hashlib
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import psycopg
from pydantic import TypeAdapter

from ops.enrolment.csv_import import CsvPerson
from sightline.models.image_files import is_image
from sightline.models.interface import ModelPack
from sightline.people import employee_changes, employee_lookup, employees
from sightline.people.employee_lookup import label_of
from sightline.people.enrol import enrol
from sightline.people.names import name_key
from sightline.people.photo_rejections import Reason
from sightline.people.picture_files import Photo, read_photo
from sightline.runtime.errors import (
    InfrastructureError,
    PhotoError,
    SightlineError,
    first_line,
)
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect

Result = Literal["enrolled", "updated", "unchanged", "refused"]

_ESCAPE = "backslashreplace"
"""Handling of the bytes of a file name that are not UTF-8."""

_NUMBER = re.compile(r"[-_ ]*(\(\d+\)|\d+)$")


@dataclass(frozen=True, slots=True)
class EnrolmentOutcome:
    """Outcome of a row: a line of the report."""

    line: int
    name: str
    result: Result
    photos: int = 0
    added: int = 0
    reason: str = ""
    """Reason code of a refusal, if there is one."""
    message: str = ""
    key: str = ""
    """Hash of the row, its photos and the pack, by which a repeated row is recognised."""


_OUTCOMES = TypeAdapter(EnrolmentOutcome)
_HEADER = [field.name for field in fields(EnrolmentOutcome)]


class EnrolmentReport:
    """CSV file of outcomes, appended to row by row.

    Raises SightlineError for a file that is no report, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.done = {row.key: row for row in _read(path) if row.result != "refused"}
        """Outcomes of earlier enrolments by key, without refused rows."""
        self._outcomes: list[EnrolmentOutcome] = []
        self._write(self.done.values())

    def add(self, outcome: EnrolmentOutcome) -> None:
        """Append an outcome."""
        self._outcomes.append(outcome)
        with self._path.open("a", encoding="utf-8", errors=_ESCAPE, newline="") as file:
            csv.writer(file).writerow(astuple(outcome))

    def finish(self) -> list[EnrolmentOutcome]:
        """Rewrite the file with the outcomes of this enrolment only; return them."""
        self._write(self._outcomes)
        return self._outcomes

    def _write(self, outcomes: Iterable[EnrolmentOutcome]) -> None:
        draft = self._path.with_name(f".{self._path.name}.draft")
        try:
            draft.touch(mode=0o600)
            with draft.open("w", encoding="utf-8", errors=_ESCAPE, newline="") as file:
                writer = csv.writer(file)
                writer.writerow(_HEADER)
                writer.writerows(map(astuple, outcomes))
            draft.replace(self._path)
        except OSError as error:
            raise SightlineError(f"{self._path} cannot be written: {error.strerror}") from error


def enrol_all(
    settings: Settings,
    pack: ModelPack,
    rows: Sequence[CsvPerson],
    folder: Path,
    report: EnrolmentReport,
    *,
    force: bool = False,
) -> Iterator[tuple[EnrolmentOutcome, bool]]:
    """Enrol or update the people of a list; yield each outcome, and True if it was done before.

    A refused row is an outcome and does not stop the others. Raises InfrastructureError when the
    database fails: the remaining rows are left for a later enrolment.
    """
    album = PhotoFolder(folder, rows)
    try:
        with connect(settings, autocommit=True) as db:
            enrolled = {
                label
                for row in employees.list_employees(db)
                if pack.id in row["packs"]
                for label in (row["name"], label_of(row["name"], row["employee_id_code"]))
            }
            for row in rows:
                db.execute("SELECT")  # a lost database must not count as a refused row
                outcome, was_done = _row(settings, db, pack, row, album, report, enrolled, force)
                if name_key(row.name) in album.shared_names:
                    outcome = replace(outcome, name=row.label)
                report.add(outcome)
                yield outcome, was_done
    except psycopg.OperationalError as error:
        raise InfrastructureError(
            f"the database failed: {first_line(error)}; run it again"
        ) from error


def _row(
    settings: Settings,
    db: Connection,
    pack: ModelPack,
    row: CsvPerson,
    album: "PhotoFolder",
    report: EnrolmentReport,
    enrolled: set[str],
    force: bool,
) -> tuple[EnrolmentOutcome, bool]:
    key = ""
    photos: list[Photo] = []
    try:
        photos = [read_photo(path) for path in album.photos_of(row)]
        key = _key(row, photos, pack.id, force)
        earlier = report.done.get(key)
        if earlier is not None and row.label in enrolled:
            return replace(earlier, line=row.line), True
        done = _enrol(settings, db, pack, row, photos, force)
        return replace(done, photos=len(photos), key=key), False
    except SightlineError as error:
        reason = str(error.reason) if isinstance(error, PhotoError) else ""
        message = str(error)
        outcome = EnrolmentOutcome(
            row.line, row.name, "refused", len(photos), 0, reason, message, key
        )
        return outcome, False


def _enrol(
    settings: Settings,
    db: Connection,
    pack: ModelPack,
    row: CsvPerson,
    photos: Sequence[Photo],
    force: bool,
) -> EnrolmentOutcome:
    if not photos:
        enrolled = employee_lookup.enrolled_as(db.cursor(), row.name, row.code)
        if enrolled is None:
            raise PhotoError(Reason.NO_PHOTO, f"there is no photo of {row.label}")
        changed = employee_changes.change(settings, enrolled.person_id, row.details)
        return EnrolmentOutcome(row.line, row.name, "updated" if changed else "unchanged")
    done = enrol(settings, pack, row.name, photos, row.details, force=force)
    result: Result = "unchanged"
    if done.changed:
        result = "enrolled" if done.is_new else "updated"
    met = ", ".join(map(str, done.linked))
    message = f"the cameras have met them before, as {met}" if met else ""
    return EnrolmentOutcome(row.line, row.name, result, added=done.added, message=message)


class PhotoFolder:
    """Photos of a folder by person's name, `NAME (CODE)` or code; `rows` are those of the list.

    Raises SightlineError if there is no folder.
    """

    def __init__(self, folder: Path, rows: Collection[CsvPerson] = ()) -> None:
        if not folder.is_dir():
            raise SightlineError(f"{folder} is no folder with photos")
        self._folder = folder
        people_by_name = Counter(name_key(row.name) for row in rows)
        self.shared_names = {name for name, people in people_by_name.items() if people > 1}
        """Names, as `name_key` has them, that several people of the list have."""
        names = {key for row in rows for key in _file_keys(row)}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                self._by_name[name_key(path.name)] += sorted(filter(_is_photo, path.iterdir()))
            elif _is_photo(path):
                exact = name_key(path.stem)
                self._by_name[exact].append(path)
                # The photo of "Maria Garcia 2" is none of Maria Garcia's.
                if exact not in names and (unnumbered := _NUMBER.sub("", path.stem)):
                    self._by_name[name_key(unnumbered)].append(path)

    def photos_of(self, row: CsvPerson) -> list[Path]:
        """Return the photos that a row names, else NAME.jpg, NAME-2.jpg, ... and a folder NAME's.

        `NAME (CODE)` and the code stand for the name, and have to where others of the list have
        the name too. Raises PhotoError for a photo that is missing or outside the folder.
        """
        if not row.photos:
            keys = [key for key in _file_keys(row) if key not in self.shared_names]
            paths = [path for key in keys for path in self._by_name.get(key, [])]
            return list(dict.fromkeys(paths))
        paths = [path for pattern in row.photos for path in self._matching(pattern)]
        return list(dict.fromkeys(paths))

    def _matching(self, pattern: str) -> list[Path]:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise PhotoError(Reason.NO_PHOTO, f"{pattern}: photos have to be in {self._folder}")
        # A name that was composed otherwise, as on a Mac, is another one to the file system.
        for form in ("NFC", "NFD"):
            exact = self._folder / unicodedata.normalize(form, pattern)
            if exact.is_file():
                return [exact]
        paths: list[Path] = []
        with suppress(ValueError):  # an invalid pattern
            paths = sorted(path for path in self._folder.glob(pattern) if path.is_file())
        if not paths:
            raise PhotoError(Reason.NO_PHOTO, f"{pattern}: not found in {self._folder}")
        return paths


def _file_keys(row: CsvPerson) -> list[str]:
    """Return the names, as `name_key` has them, that a person's files may have."""
    names = [row.name, row.label, *([row.code] if row.code else [])]
    return list(dict.fromkeys(map(name_key, names)))


def _is_photo(path: Path) -> bool:
    return is_image(path) and path.is_file()


def _key(row: CsvPerson, photos: Iterable[Photo], pack: str, force: bool) -> str:
    hashes = [hashlib.sha256(photo.data).hexdigest() for photo in photos]
    content = json.dumps([row.name, asdict(row.details), hashes, pack, force], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _read(path: Path) -> Iterator[EnrolmentOutcome]:
    """Yield the complete lines of a report. Raises SightlineError for a file that is no report."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != _HEADER:
                raise SightlineError(f"{path} is no report; name another --report")
            for cells in rows:
                with suppress(ValueError):  # cut off when an earlier enrolment was killed
                    yield _OUTCOMES.validate_python(cells)
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SightlineError(f"{path} cannot be read: {error}; name another --report") from error
