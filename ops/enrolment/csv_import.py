"""CSV import of people to enrol, with one-line errors for invalid files."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sightline.people.employee_lookup import label_of
from sightline.people.employees import EmployeeProfile
from sightline.people.names import checked_name
from sightline.runtime.errors import SightlineError

COLUMNS = ("name", "photos", "department", "email", "code", "status", "authorized")
"""Only `name` is required; an empty cell leaves the detail unchanged."""

_DELIMITERS = ",;\t"
_YES, _NO = {"yes", "true", "1"}, {"no", "false", "0"}


@dataclass(frozen=True, slots=True)
class CsvPerson:
    """A person of the list."""

    line: int
    name: str
    photos: tuple[str, ...]
    """File names or patterns in the folder of photos; if empty, photos by the person's name."""
    details: EmployeeProfile

    @property
    def code(self) -> str | None:
        """The staff number, which tells people of one name apart."""
        return self.details.employee_id_code

    @property
    def label(self) -> str:
        """`NAME (CODE)`, or the name alone without a code."""
        return label_of(self.name, self.code)


def read_rows(path: Path) -> list[CsvPerson]:
    """Read the people of a CSV file.

    Encodings are UTF-8 with or without a byte order mark and UTF-16 with one, delimiters commas,
    semicolons or tabs. Raises SightlineError in one line for an invalid file as a whole.
    """
    try:
        text = _decoded(path.read_bytes())
    except OSError as error:
        raise SightlineError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SightlineError(
            f"{path}: byte {error.start} is not {error.encoding}; save it as CSV UTF-8"
        ) from None
    try:
        rows = list(_rows(text))
    except (csv.Error, SightlineError) as error:
        raise SightlineError(f"{path}: {error}") from None
    if not rows:
        raise SightlineError(f"{path}: there is nobody in it")
    return rows


def _decoded(data: bytes) -> str:
    has_utf16_mark = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    return data.decode("utf-16" if has_utf16_mark else "utf-8-sig")


def _rows(text: str) -> Iterator[CsvPerson]:
    head = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = _columns(next(reader, []))
    check_unique = _UniquePeople()
    for cells in reader:
        line = reader.line_num
        values = [cell.strip() for cell in cells]
        if not any(values):
            continue
        if len(values) > len(columns):
            raise SightlineError(f"line {line} has {len(values)} cells, the first {len(columns)}")
        try:
            row = _row(line, dict(zip(columns, values, strict=False)))
        except SightlineError as error:
            raise SightlineError(f"line {line}: {error}") from None
        check_unique(row)
        yield row


class _UniquePeople:
    """Check that nobody is in a list twice; people of one name have different codes."""

    def __init__(self) -> None:
        self._by_name: dict[str, CsvPerson] = {}
        self._by_code: dict[str, CsvPerson] = {}

    def __call__(self, row: CsvPerson) -> None:
        """Add a row. Raises SightlineError that names the two lines."""
        first = self._by_name.setdefault(row.name, row)
        if first is not row and not (first.code and row.code):
            raise SightlineError(
                f"{row.name} is in line {first.line} and in line {row.line}; two people of one"
                " name need a code each (column `code`)"
            )
        first = self._by_code.setdefault(row.code, row) if row.code else row
        if first is not row:
            raise SightlineError(
                f"the code {row.code} is in line {first.line} and in line {row.line}"
            )


def _columns(head: Iterable[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in head]
    allowed = ", ".join(COLUMNS)
    if "name" not in columns:
        raise SightlineError(f"the first line names no column `name`; possible are {allowed}")
    for column in columns:
        if column not in COLUMNS:
            raise SightlineError(f"there is no column `{column[:40]}`; possible are {allowed}")
        if columns.count(column) > 1:
            raise SightlineError(f"the column `{column}` is there twice")
    return columns


def _row(line: int, cells: dict[str, str]) -> CsvPerson:
    details = EmployeeProfile(
        department=cells.get("department") or None,
        email=cells.get("email") or None,
        employee_id_code=cells.get("code") or None,
        status=cells.get("status", "").lower() or None,
        is_authorized=_authorized(cells.get("authorized", "")),
    )
    photos = [part.strip() for part in cells.get("photos", "").split(";")]
    return CsvPerson(
        line, checked_name(cells.get("name", "")), tuple(filter(None, photos)), details.validated()
    )


def _authorized(cell: str) -> bool | None:
    if not cell:
        return None
    if cell.lower() in _YES | _NO:
        return cell.lower() in _YES
    raise SightlineError(f"`authorized` is yes or no, not {cell[:40]}")
