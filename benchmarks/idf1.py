"""IDF1: how well identities were kept, over all cameras of a site.

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
    """Frames by what became of them."""

    true_positives: int  # of a person, under the identity that is matched with them
    truth: int  # in which somebody was to be seen
    computed: int  # in which an identity was said

    @property
    def precision(self) -> float:
        """IDP: of what was said, how much is right."""
        return self.true_positives / self.computed if self.computed else 0.0

    @property
    def recall(self) -> float:
        """IDR: of what was there, how much was said right."""
        return self.true_positives / self.truth if self.truth else 0.0

    @property
    def f1(self) -> float:
        """IDF1, their harmonic mean: 2 IDTP / (2 IDTP + IDFP + IDFN)."""
        both = self.truth + self.computed
        return 2 * self.true_positives / both if both else 0.0


def id_score(
    pairs: Iterable[tuple[Hashable, Hashable]], *, missed: int = 0, strays: int = 0
) -> IdScore:
    """The score of frames, each with who was there and the identity that was said.

    `missed`: frames in which somebody was and nothing was said; `strays`: the other way round.
    """
    counts = Counter(pairs)
    total = sum(counts.values())
    return IdScore(_matched(counts), total + missed, total + strays)


def _matched(counts: Counter[tuple[Hashable, Hashable]]) -> int:
    people = {who: at for at, who in enumerate(dict.fromkeys(who for who, _ in counts))}
    said = {identity: at for at, identity in enumerate(dict.fromkeys(one for _, one in counts))}
    frames = np.zeros((len(people), len(said)), np.int64)
    for (who, identity), count in counts.items():
        frames[people[who], said[identity]] = count
    # The bipartite matching of the paper: its cost counts what disagrees, which is least where
    # what agrees is most.
    rows, columns = linear_sum_assignment(frames, maximize=True)
    return int(frames[rows, columns].sum())
