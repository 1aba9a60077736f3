"""Columns of a list of people by the spellings that other systems give them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sightline.runtime.errors import SightlineError

COLUMNS = ("name", "photos", "department", "email", "code", "status", "authorized")
"""Our own names of columns. Only a name is required; an empty cell leaves the detail unchanged."""

_FIRST_NAME, _LAST_NAME = "first name", "last name"

# The first spelling of a column that a list has is taken; letters and digits alone are compared.
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "full name", "display name", "employee name", "person name", "employee"),
    _FIRST_NAME: ("first name", "given name", "forename", "first"),
    _LAST_NAME: ("last name", "surname", "family name", "last", "sn"),
    "photos": ("photos", "photo", "photo file", "picture", "pictures", "image", "images"),
    "department": ("department", "department name", "dept", "division", "org unit",
                   "organizational unit", "organisational unit", "team"),
    "email": ("email", "email address", "mail", "work email", "business email"),
    "code": ("code", "employee id code", "employee id", "employee number", "employee no",
             "employee code", "staff number", "staff no", "staff id", "personnel number",
             "personnel no", "personnel id", "payroll number", "badge number", "badge id",
             "badge"),
    "status": ("status",),
    "authorized": ("authorized", "authorised", "is authorized", "is authorised", "may enter"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListColumns:
    """Positions of the columns of a list that are read, and the names of the others."""

    positions: Mapping[str, int]
    ignored: tuple[str, ...]
    count: int

    def cells(self, values: Sequence[str]) -> dict[str, str]:
        """Return the cells of a row by our names of the columns, the name put together."""
        cells = {
            column: values[position] if position < len(values) else ""
            for column, position in self.positions.items()
        }
        first, last = cells.pop(_FIRST_NAME, ""), cells.pop(_LAST_NAME, "")
        cells["name"] = _full_name(cells.get("name", ""), first, last)
        return cells


def columns_of(head: Sequence[str]) -> ListColumns:
    """Return the columns that a first line names.

    Raises SightlineError for a line without a name, and for a column that is there twice.
    """
    titles = [" ".join(cell.split()) for cell in head]
    keys = [_key(title) for title in titles]
    for key, title in zip(keys, titles, strict=True):
        if key and keys.count(key) > 1:
            raise SightlineError(f"the column `{title[:40].lower()}` is there twice")
    positions: dict[str, int] = {}
    for column, spellings in _SPELLINGS.items():
        for spelling in map(_key, spellings):
            if spelling in keys:
                positions[column] = keys.index(spelling)
                break
    if not positions.keys() & {"name", _LAST_NAME, _FIRST_NAME}:
        raise SightlineError(
            "the first line names no column `name`, nor first and last name: put a line with the"
            f" names of the columns above the people; possible are {', '.join(COLUMNS)}"
        )
    read = set(positions.values())
    ignored = (title for index, title in enumerate(titles) if title and index not in read)
    return ListColumns(positions, tuple(ignored), len(titles))


def recognised(head: Sequence[str]) -> int:
    """Return how many cells of a line are names of columns."""
    known = {_key(spelling) for spellings in _SPELLINGS.values() for spelling in spellings}
    return sum(_key(cell) in known for cell in head)


def _key(title: str) -> str:
    return "".join(character for character in title.casefold() if character.isalnum())


def _full_name(name: str, first: str, last: str) -> str:
    """Return one name of a full name, or of first and last name.

    Beside a column with first names alone `name` is the last name, and the other way round.
    """
    if not name or (first and last and _key(name) in (_key(first), _key(last))):
        return f"{first} {last}".strip()
    if bool(first) == bool(last) or _key(first or last) in _key(name):
        return name
    return f"{first} {name}" if first else f"{name} {last}"
