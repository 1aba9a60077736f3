"""A list of people as CSV: what is in it, or one line about what is wrong with it."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sightline.people.employees import Details, checked_name
from sightline.runtime.errors import SightlineError

COLUMNS = ("name", "photos", "department", "email", "code", "status", "authorized")
"""Only `name` has to be there; an empty cell leaves things as they are."""

_DELIMITERS = ",;\t"
_YES, _NO = {"yes", "true", "1"}, {"no", "false", "0"}


@dataclass(frozen=True, slots=True)
class Row:
    """One person of the list."""

    line: int
    name: str
    photos: tuple[str, ...]
    """File names or patterns in the folder of photos; none: by the person's name."""
    details: Details


def read_rows(path: Path) -> list[Row]:
    """The people of a CSV file.

    Read are UTF-8 with or without a mark, UTF-16 with one, and commas, semicolons or tabs.
    Raises SightlineError in one line for a file that is not clear: nobody of it is enrolled then.
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


def _rows(text: str) -> Iterator[Row]:
    head = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = _columns(next(reader, []))
    seen: dict[str, int] = {}
    for cells in reader:
        line = reader.line_num
        given = [cell.strip() for cell in cells]
        if not any(given):
            continue
        if len(given) > len(columns):
            raise SightlineError(f"line {line} has {len(given)} cells, the first {len(columns)}")
        try:
            row = _row(line, dict(zip(columns, given, strict=False)))
        except SightlineError as error:
            raise SightlineError(f"line {line}: {error}") from None
        if row.name in seen:
            raise SightlineError(f"{row.name} is in line {seen[row.name]} and in line {line}")
        seen[row.name] = line
        yield row


def _columns(head: Iterable[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in head]
    known = ", ".join(COLUMNS)
    if "name" not in columns:
        raise SightlineError(f"the first line names no column `name`; possible are {known}")
    for column in columns:
        if column not in COLUMNS:
            raise SightlineError(f"there is no column `{column[:40]}`; possible are {known}")
        if columns.count(column) > 1:
            raise SightlineError(f"the column `{column}` is there twice")
    return columns


def _row(line: int, cells: dict[str, str]) -> Row:
    details = Details(
        department=cells.get("department") or None,
        email=cells.get("email") or None,
        employee_id_code=cells.get("code") or None,
        status=cells.get("status", "").lower() or None,
        is_authorized=_authorized(cells.get("authorized", "")),
    )
    photos = [part.strip() for part in cells.get("photos", "").split(";")]
    return Row(
        line, checked_name(cells.get("name", "")), tuple(filter(None, photos)), details.checked()
    )


def _authorized(cell: str) -> bool | None:
    if not cell:
        return None
    if cell.lower() in _YES | _NO:
        return cell.lower() in _YES
    raise SightlineError(f"`authorized` is yes or no, not {cell[:40]}")
