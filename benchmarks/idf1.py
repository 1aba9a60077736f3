"""IDF1: identity preservation over all cameras of a site.

Ristani, Solera, Zou, Cucchiara, Tomasi, "Performance Measures and a Data Set for Multi-Target,
Multi-Camera Tracking", ECCV workshops 2016, section 3: every true identity is matched with at
most one computed identity, so that as many frames as possible agree.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True, slots=True)
class IdScore:
    """Frame counts of an identity assignment."""

    true_positives: int  # frames of a person under the identity matched with them
    truth: int  # frames with a visible person
    computed: int  # frames with an identity

    @property
    def precision(self) -> float:
        """IDP: the fraction of computed frames that is right."""
        return self.true_positives / self.computed if self.computed else 0.0

    @property
    def recall(self) -> float:
        """IDR: the fraction of true frames that is right."""
        return self.true_positives / self.truth if self.truth else 0.0

    @property
    def f1(self) -> float:
        """IDF1, their harmonic mean: 2 IDTP / (2 IDTP + IDFP + IDFN)."""
        both = self.truth + self.computed
        return 2 * self.true_positives / both if both else 0.0


def id_score(
    pairs: Iterable[tuple[Hashable, Hashable]], *, missed: int = 0, strays: int = 0
) -> IdScore:
    """Score frames given as pairs of the true person and the computed identity.

    `missed` frames have a person without an identity, `strays` an identity without a person.
    """
    counts = Counter(pairs)
    total = sum(counts.values())
    return IdScore(_matched(counts), total + missed, total + strays)


def _matched(counts: Counter[tuple[Hashable, Hashable]]) -> int:
    people = {
        person: index for index, person in enumerate(dict.fromkeys(person for person, _ in counts))
    }
    identities = {
        identity: index
        for index, identity in enumerate(dict.fromkeys(identity for _, identity in counts))
    }
    frames = np.zeros((len(people), len(identities)), np.int64)
    for (person, identity), count in counts.items():
        frames[people[person], identities[identity]] = count
    # The bipartite matching of the paper: its cost counts what disagrees, which is least where
    # what agrees is most.
    rows, columns = linear_sum_assignment(frames, maximize=True)
    return int(frames[rows, columns].sum())
