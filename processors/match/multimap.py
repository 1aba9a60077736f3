"""Multimap: sets of values by key."""

from collections import defaultdict
from collections.abc import Set
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Multimap(Generic[K, V]):
    """Sets of values by key; a key without values takes no memory."""

    def __init__(self) -> None:
        self._values: defaultdict[K, set[V]] = defaultdict(set)

    def of(self, key: K) -> Set[V]:
        """Return a copy of the values of a key."""
        return frozenset(self._values.get(key, ()))

    def add(self, key: K, value: V) -> None:
        """Add a value to a key."""
        self._values[key].add(value)

    def discard(self, key: K, value: V) -> None:
        """Remove a value from a key; a missing one is no error."""
        values = self._values.get(key)
        if values is not None:
            values.discard(value)
            if not values:
                del self._values[key]
