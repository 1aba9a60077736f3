"""Comparison of two outcomes of one load: lost, doubled and different records. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.chaos.outcome import Key, Outcome

_EXAMPLES = 3


@dataclass(slots=True)
class Difference:
    """Difference of one part: a table, the objects, or a topic."""

    part: str
    there: int = 0  # in the calm run
    lost: int = 0
    doubled: int = 0
    """Records that are there more often than in the calm run."""
    differing: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """Number of all differing records."""
        return self.lost + self.doubled + self.differing


def compare(calm: Outcome, hit: Outcome) -> list[Difference]:
    """Compare two outcomes part by part."""
    parts = [*calm.parts, *(part for part in hit.parts if part not in calm.parts)]
    return [_part(part, calm.parts.get(part, {}), hit.parts.get(part, {})) for part in parts]


def _part(part: str, calm: Mapping[Key, list[str]], hit: Mapping[Key, list[str]]) -> Difference:
    difference = Difference(part, there=sum(map(len, calm.values())))
    for key in sorted(calm.keys() | hit.keys()):
        before, after = sorted(calm.get(key, [])), sorted(hit.get(key, []))
        if before == after:
            continue
        difference.lost += max(0, len(before) - len(after))
        difference.doubled += max(0, len(after) - len(before))
        same = len(before) == len(after) or (before and after and before[0] not in after)
        difference.differing += bool(same)
        if len(difference.examples) < _EXAMPLES:
            difference.examples.append(f"{'/'.join(key)}: {_described(before, after)}")
    return difference


def _described(before: list[str], after: list[str]) -> str:
    if not before or not after or len(before) != len(after):
        example = (before or after)[0]
        return f"{len(before)} times, then {len(after)} times: {example[:300]}"
    try:
        was, now = json.loads(before[0]), json.loads(after[0])
    except ValueError:
        return "other bytes"
    names = [name for name in was if was[name] != now.get(name)]
    return "; ".join(f"{name} {was[name]!r:.80} -> {now.get(name)!r:.80}" for name in names)
