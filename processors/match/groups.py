"""Sets by key."""

from collections import defaultdict
from collections.abc import Set
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Groups(Generic[K, V]):
    """Which values belong to a key; a key without any takes no room."""

    def __init__(self) -> None:
        self._of: defaultdict[K, set[V]] = defaultdict(set)

    def of(self, key: K) -> Set[V]:
        """The values of a key, as they are now."""
        return frozenset(self._of.get(key, ()))

    def add(self, key: K, value: V) -> None:
        """Add a value."""
        self._of[key].add(value)

    def discard(self, key: K, value: V) -> None:
        """Take a value away, where it is there."""
        known = self._of.get(key)
        if known is not None:
            known.discard(value)
            if not known:
                del self._of[key]
