"""A search by face with a filter finds what comparing with everybody finds."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from pgvector import Vector

from sightline.people import face_search
from sightline.people.face_search import search_tracks
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import vector_indexes
from sightline.storage.db import Connection, connect
from tests.sealed import beside
from tests.support import days_ago

pytestmark = pytest.mark.stack

TRACKS = 12_000
DAYS = 365
D = 32
PACK = "pack"
T0 = days_ago(331)
END = T0 + timedelta(days=DAYS)
LIMIT = 50
PROBES = 10

_COPY = """
COPY person_tracks (track_uuid, camera_id, first_seen, last_seen, last_box, global_id, embedding,
    pack) FROM STDIN
"""


class Year:
    """Tracks of strangers, evenly over a year; one in 200 is of the quiet camera."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        random = np.random.default_rng(5)
        self.faces = unit(random.normal(size=(TRACKS, D)))
        self.probes = unit(random.normal(size=(PROBES, D)))
        self.uuids = [UUID(int=row + 1) for row in range(TRACKS)]
        self.seen = [T0 + row * timedelta(days=DAYS) / TRACKS for row in range(TRACKS)]
        self.cameras = ["quiet" if row % 200 == 0 else f"camera-{row % 3}" for row in range(TRACKS)]
        with db.transaction(), db.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in range(TRACKS):
                at, face = self.seen[row], Vector(self.faces[row])
                track = (self.uuids[row], self.cameras[row], at, at, "{}", row + 1, face, PACK)
                copy.write_row(track)
        vector_indexes.ensure_indexes(db, PACK, D)
        db.execute("ANALYZE")

    def nearest(
        self,
        probe: NDArray[np.float32],
        limit: int = LIMIT,
        since: datetime = T0,
        until: datetime = END,
        camera: str | None = None,
    ) -> list[UUID]:
        """The tracks that are most like a probe, by comparing with all."""
        order = np.argsort(-(self.faces @ probe))
        fitting = (
            self.uuids[row]
            for row in order
            if since <= self.seen[row] < until and camera in (None, self.cameras[row])
        )
        return [uuid for uuid, _ in zip(fitting, range(limit), strict=False)]

    def found(self, probe: NDArray[np.float32], limit: int = LIMIT, **filters: Any) -> list[UUID]:
        """The tracks that the search finds."""
        rows = search_tracks(self.db, PACK, probe, limit=limit, **filters)
        return [row["track_uuid"] for row in rows]


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def year(plain_stack: Settings) -> Iterator[Year]:
    """A year in a database of its own, with its index."""
    with beside(plain_stack) as own, connect(own, autocommit=True) as db:
        yield Year(db)


@pytest.mark.parametrize(
    "filters",
    [
        {"since": END - timedelta(days=1)},
        {"since": T0 + timedelta(days=100), "until": T0 + timedelta(days=101)},
        {"since": END - timedelta(days=90)},
        {"camera": "quiet"},
        {"camera": "camera-1"},
        {"camera": "quiet", "since": END - timedelta(days=7)},
        {"camera": "nowhere"},
    ],
    ids=str,
)
def test_a_filtered_search_finds_what_comparing_with_all_finds(
    year: Year, filters: dict[str, Any]
) -> None:
    for probe in year.probes:
        assert year.found(probe, **filters) == year.nearest(probe, **filters)


def test_a_search_without_a_filter_finds_nearly_all_that_is_near(year: Year) -> None:
    shared = [set(year.found(probe, 5)) & set(year.nearest(probe, 5)) for probe in year.probes]
    assert sum(map(len, shared)) >= 0.99 * 5 * PROBES


def test_a_filter_that_leaves_many_is_searched_by_the_index_to_the_end(
    year: Year, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where more is left than is compared one by one, and where the planner expects too much."""
    monkeypatch.setattr(face_search, "_EXACT_ROWS", 0)
    wide: dict[str, Any] = {"since": END - timedelta(days=200)}
    narrow: dict[str, Any] = {"camera": "quiet", "since": END - timedelta(days=7)}
    for probe in year.probes:
        near = set(year.nearest(probe, 5, **wide))
        assert len(near & set(year.found(probe, **wide))) == 5
        assert year.found(probe, **narrow) == year.nearest(probe, **narrow)


def test_a_search_that_takes_too_long_says_what_to_do(
    year: Year, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(face_search, "_STATEMENT_TIMEOUT_SECONDS", 0.001)
        with pytest.raises(SightlineError, match=r"took longer than .* a shorter time"):
            year.found(year.probes[0], since=T0)  # which leaves all
    assert year.found(year.probes[0], camera="nowhere") == []
