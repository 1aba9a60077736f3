"""Search among sealed faces: opened once for each process, and compared one by one.

No index can search what is sealed. What is opened is kept by what it is sealed as and how the
sealed data begin, which is never the same twice: each search asks for all of these, and opens what
is new.
"""

import logging
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from psycopg import sql

from sightline.storage import face_columns
from sightline.storage.db import sealing_of
from sightline.storage.encryption import HEAD_BYTES, OVERHEAD, TamperedError
from sightline.storage.face_columns import Floats, Place

log = logging.getLogger(__name__)

_AT_ONCE = 5000

Known = tuple[UUID, bytes]
"""What a face is sealed as, and how what is sealed begins."""


_HEADS = """
SELECT {owner}, {known_as}, substring({sealed}, 1, {head}), {wanted} FROM {table}
WHERE {pack} = %(pack)s AND octet_length({sealed}) = %(size)s
"""

_SEALED = "SELECT {known_as}, {sealed} FROM {table} WHERE {known_as} = ANY(%s)"


class _Opened:
    """The opened faces of one table and pack, of one length."""

    def __init__(self, dimension: int) -> None:
        self.lock = Lock()
        self._rows: dict[Known, int] = {}
        self._matrix = np.empty((0, dimension), np.float32)

    def cosines(self, probe: Floats, known: Sequence[Known]) -> Floats:
        """Of faces to a probe of unit length; -inf for those that are not here."""
        numbers = np.array([self._rows.get(one, -1) for one in known], np.int64)
        all_cosines = np.append(self._matrix @ probe, np.float32(-np.inf))
        return np.asarray(all_cosines[numbers], np.float32)

    def missing(self, known: Sequence[Known]) -> set[Known]:
        """Those that have not been opened."""
        return set(known) - self._rows.keys()

    def add(self, opened: Mapping[Known, Floats]) -> None:
        """Keep faces."""
        first = len(self._matrix)
        self._rows |= {one: first + number for number, one in enumerate(opened)}
        self._matrix = np.concatenate([self._matrix, np.stack(list(opened.values()))])

    def keep(self, known: Sequence[Known]) -> None:
        """Forget faces that are there no more, once they are the half."""
        if len(self._matrix) <= 2 * len(known) + _AT_ONCE:
            return
        kept = [one for one in dict.fromkeys(known) if one in self._rows]
        self._matrix = self._matrix[[self._rows[one] for one in kept]]
        self._rows = {one: number for number, one in enumerate(kept)}


_opened: dict[tuple[str, str, str, int], _Opened] = {}
_lock = Lock()


def nearest(
    cursor: psycopg.Cursor[Any],
    place: Place,
    pack: str,
    probe: Floats,
    count: int,
    where: sql.Composable | None = None,
    asked: Mapping[str, Any] | None = None,
) -> list[tuple[Any, float]]:
    """The owners of the sealed faces most like a probe (d,), with their cosines, best first.

    `where` is a condition on the rows, with parameters. An owner of several faces may be found
    several times. A face that does not open is left out, and counted.
    """
    size = OVERHEAD + 4 * len(probe)
    with cursor.connection.cursor(binary=True) as reader:
        found = reader.execute(
            sql.SQL(_HEADS).format(wanted=where or sql.SQL("true"), **_words(place)),
            {**(asked or {}), "pack": pack, "size": size},
        ).fetchall()
        if not found:
            return []
        known = [(row[1], row[2]) for row in found]
        opened = _of(cursor, place, pack, len(probe))
        with opened.lock:
            _open(reader, place, opened, known)
            cosines = opened.cosines(np.asarray(probe / np.linalg.norm(probe), np.float32), known)
            opened.keep(known)
    wanted = np.array([row[3] for row in found], bool)
    cosines[~wanted] = -np.inf
    best = np.argsort(-cosines, kind="stable")[:count]
    return [(found[at][0], float(cosines[at])) for at in best if np.isfinite(cosines[at])]


def _of(cursor: psycopg.Cursor[Any], place: Place, pack: str, dimension: int) -> _Opened:
    name = (cursor.connection.info.dsn, place.table, pack, dimension)
    with _lock:
        return _opened.setdefault(name, _Opened(dimension))


def _open(
    reader: psycopg.Cursor[Any], place: Place, opened: _Opened, known: Sequence[Known]
) -> None:
    new = [known_as for known_as, _head in opened.missing(known)]
    query = sql.SQL(_SEALED).format(**_words(place))
    for first in range(0, len(new), _AT_ONCE):
        rows = reader.execute(query, (new[first : first + _AT_ONCE],)).fetchall()
        vectors = {
            (known_as, sealed[:HEAD_BYTES]): face / np.linalg.norm(face)
            for known_as, sealed in rows
            if sealed and (face := _face(reader, sealed, place.name(known_as))) is not None
        }
        if vectors:
            opened.add(vectors)


def _face(reader: psycopg.Cursor[Any], sealed: bytes, name: str) -> Floats | None:
    try:
        return face_columns.as_floats(sealing_of(reader).open(sealed, name))
    except TamperedError as error:
        log.warning("search: left out: %s", error)
        return None


def _words(place: Place) -> dict[str, sql.Composable]:
    names = ("table", "owner", "known_as", "pack", "sealed")
    words: dict[str, sql.Composable] = {
        name: sql.Identifier(getattr(place, name)) for name in names
    }
    return words | {"head": sql.Literal(HEAD_BYTES)}
