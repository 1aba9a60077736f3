"""Sightings of two passes that are of one moment, although their tracks have different ids.

A track is named by its first frame: with other models it may begin a frame later.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

Pair = tuple[str, str]
"""The ids of two rows."""


def paired(ours: Sequence[Row], theirs: Sequence[Row]) -> list[Pair]:
    """Which rows go together, of those that have no row of their own id in the other pass.

    Rows of one motion event whose tracks overlap in time: first those of one person; then where
    only one is left on either side.
    """
    known = {row["id"] for row in ours} & {row["id"] for row in theirs}
    events: dict[str, tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for side, rows in enumerate((ours, theirs)):
        for row in rows:
            if row["id"] not in known and row.get("first_seen") is not None:
                events[row["motion_event_id"]][side].append(row)
    return [pair for a, b in events.values() for pair in _of_event(a, b)]


def _of_event(ours: list[Row], theirs: list[Row]) -> Iterator[Pair]:
    taken: set[str] = set()
    together = [(a, b) for a in ours for b in theirs if _overlap(a, b) > 0]
    for a, b in sorted(together, key=lambda pair: -_overlap(*pair)):
        if a["global_id"] == b["global_id"] and not {a["id"], b["id"]} & taken:
            taken |= {a["id"], b["id"]}
            yield a["id"], b["id"]
    left = [(a, b) for a, b in together if not {a["id"], b["id"]} & taken]
    for a, b in left:
        rivals = [pair for pair in left if pair[0] is a or pair[1] is b]
        if len(rivals) == 1:
            yield a["id"], b["id"]


def _overlap(a: Row, b: Row) -> float:
    """Seconds that two tracks share; 0 or less where they do not."""
    since = max(a["first_seen"], b["first_seen"])
    until = min(a["last_seen"], b["last_seen"])
    return float((until - since).total_seconds())
