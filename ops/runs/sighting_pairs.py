"""Pairs of sightings of two runs that show one moment, although their tracks differ in id.

A track is named by its first frame: with other models it may begin a frame later.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

Pair = tuple[str, str]
"""Ids of two rows."""


def paired(rows_a: Sequence[Row], rows_b: Sequence[Row]) -> list[Pair]:
    """Return pairs of row ids, for rows whose own id is missing in the other run.

    Rows of one motion event whose tracks overlap in time are paired: first those of one person;
    then those that have only one candidate on either side.
    """
    common = {row["id"] for row in rows_a} & {row["id"] for row in rows_b}
    events: dict[str, tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for side, rows in enumerate((rows_a, rows_b)):
        for row in rows:
            if row["id"] not in common and row.get("first_seen") is not None:
                events[row["motion_event_id"]][side].append(row)
    return [pair for a, b in events.values() for pair in _of_event(a, b)]


def _of_event(rows_a: list[Row], rows_b: list[Row]) -> Iterator[Pair]:
    taken: set[str] = set()
    overlapping = [(a, b) for a in rows_a for b in rows_b if _overlap(a, b) > 0]
    for a, b in sorted(overlapping, key=lambda pair: -_overlap(*pair)):
        if a["global_id"] == b["global_id"] and not {a["id"], b["id"]} & taken:
            taken |= {a["id"], b["id"]}
            yield a["id"], b["id"]
    remaining = [(a, b) for a, b in overlapping if not {a["id"], b["id"]} & taken]
    for a, b in remaining:
        rivals = [pair for pair in remaining if pair[0] is a or pair[1] is b]
        if len(rivals) == 1:
            yield a["id"], b["id"]


def _overlap(a: Row, b: Row) -> float:
    """Return the seconds that two tracks share; 0 or less without overlap."""
    since = max(a["first_seen"], b["first_seen"])
    until = min(a["last_seen"], b["last_seen"])
    return float((until - since).total_seconds())
