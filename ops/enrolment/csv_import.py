"""CSV import of people to enrol, as other systems write it, with one-line errors for bad files."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.enrolment.csv_columns import columns_of, recognised
from sightline.people.employee_lookup import label_of
from sightline.people.employees import EmployeeProfile
from sightline.people.names import checked_name
from sightline.runtime.errors import SightlineError

_DELIMITERS: Final = ",;\t"
_YES, _NO = {"yes", "y", "true", "1"}, {"no", "n", "false", "0"}

_FALLBACK: Final = "windows-1252"
"""Encoding of files that are no UTF-8: what spreadsheets in Europe and America save as CSV."""

_SEPARATOR_LINE: Final = re.compile(r'"?sep=(?P<delimiter>.)"?[;,\t]*\s*', re.IGNORECASE)
"""First line by which a file tells a spreadsheet its delimiter."""

_TEXT_FORMULA: Final = re.compile(r'="(.*)"')
"""Cell by which a spreadsheet is kept from taking a code for a number."""

_MIN_UTF16_ZEROS: Final = 0.4
"""Ratio of zero bytes, at odd or at even positions, of Latin text in UTF-16 without a mark."""


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


def _ignore(_note: str) -> None:
    pass


def read_rows(path: Path, note: Callable[[str], None] = _ignore) -> list[CsvPerson]:
    """Read the people of a CSV file.

    Encodings are UTF-8 and UTF-16, else Windows-1252; delimiters commas, semicolons or tabs;
    columns have the names of `csv_columns`. `note` is told what may be wrong: another encoding, and
    columns that are ignored. Raises SightlineError in one line for an invalid file as a whole.
    """
    try:
        text, encoding = _decoded(path.read_bytes())
    except OSError as error:
        raise SightlineError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SightlineError(
            f"{path}: byte {error.start} is not {error.encoding}; save it as CSV UTF-8"
        ) from None
    if encoding == _FALLBACK:
        note(f"{path} is not UTF-8 and was read as Windows-1252: check the letters of names")
    try:
        rows = list(_rows(text, lambda columns: note(f"{path}: ignored columns: {columns}")))
    except (csv.Error, SightlineError) as error:
        raise SightlineError(f"{path}: {error}") from None
    if not rows:
        raise SightlineError(f"{path}: there is nobody in it")
    return rows


def _decoded(data: bytes) -> tuple[str, str]:
    """Return the text of a file, and its encoding. Raises UnicodeDecodeError."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16"), "utf-16"
    for encoding, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[0::2])):
        if zeros.count(0) > _MIN_UTF16_ZEROS * max(len(zeros), 1):
            return data.decode(encoding), encoding
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return data.decode(_FALLBACK), _FALLBACK


def _rows(text: str, note_ignored: Callable[[str], None]) -> Iterator[CsvPerson]:
    lines = io.StringIO(text, newline="")
    skipped = 0
    if separator := _SEPARATOR_LINE.fullmatch(text.split("\n", 1)[0]):
        lines.readline()
        skipped = 1
    delimiter = separator["delimiter"] if separator else _delimiter(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns = columns_of(next(filter(any, map(_stripped, reader)), []))
    if columns.ignored:
        note_ignored(", ".join(title[:40] for title in columns.ignored))
    check_unique = _UniquePeople()
    for cells in reader:
        line = reader.line_num + skipped
        values = _stripped(cells)
        if not any(values):
            continue
        if any(values[columns.count :]):
            raise SightlineError(f"line {line} has {len(values)} cells, the first {columns.count}")
        try:
            row = _row(line, columns.cells(values))
        except SightlineError as error:
            raise SightlineError(f"line {line}: {error}") from None
        check_unique(row)
        yield row


def _delimiter(text: str) -> str:
    """Return the delimiter by which the first line has the most names of columns, else cells."""

    def heads(delimiter: str) -> tuple[int, int]:
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            head = next(filter(any, map(_stripped, reader)), [])
        except csv.Error:
            return 0, 0
        return recognised(head), len(head)

    return max(_DELIMITERS, key=heads)


def _stripped(cells: list[str]) -> list[str]:
    return [_TEXT_FORMULA.sub(r"\1", cell.strip()) for cell in cells]


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


def _row(line: int, cells: dict[str, str]) -> CsvPerson:
    details = EmployeeProfile(
        department=" ".join(cells.get("department", "").split()) or None,
        email=cells.get("email") or None,
        employee_id_code=cells.get("code") or None,
        status=cells.get("status", "").lower() or None,
        is_authorized=_authorized(cells.get("authorized", "")),
    )
    photos = [part.strip() for part in re.split(r"[;\r\n]", cells.get("photos", ""))]
    name = " ".join(cells["name"].splitlines())  # a cell may have several lines
    return CsvPerson(line, checked_name(name), tuple(filter(None, photos)), details.validated())


def _authorized(cell: str) -> bool | None:
    if not cell:
        return None
    if cell.lower() in _YES | _NO:
        return cell.lower() in _YES
    raise SightlineError(f"`authorized` is yes or no, not {cell[:40]}")
