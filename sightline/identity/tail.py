"""How likely strangers reach a score: the tail beyond what was measured.

The model is the beta distribution on [-1, 1]. It is what the cosine of two random directions
follows exactly: in d dimensions 1 - x over 2 is Beta((d - 1) / 2, (d - 1) / 2), and with a mean
direction that all faces share it is skewed, which two parameters follow. By von Mises' condition
its upper tail is in the domain of attraction of the generalised Pareto distribution with the
shape -1 / alpha and the end point 1, which no cosine passes. (de Haan and Ferreira, Extreme Value
Theory, 2006, theorem 1.1.8.)

Why not a generalised Pareto distribution fitted to the highest scores: at rates that can be
measured it is far from this limit. On the 40 people of the ORL portraits the 10% highest scores
have a local shape near -.3, and extrapolated with it the threshold for a rate of 1e-3 among 15
people came out at .42 where .50 was needed; with the end point held at 1 it came out at .55, and
from 10 people twice as uncertain. The beta distribution has the right end and is fitted to all
scores: from the moments of 40 people's it gives .351, .428 and .488 for rates of 1e-2, 1e-3 and
1e-4 with MobileFaceNet, where .350, .430 and .481 were counted, and .9215, .9367 and .9475 with
dlib, where .9223, .9368 and .9466 were.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """One distribution of scores, or several at once: (n,) each."""

    alpha: Doubles
    """Of (1 - score) / 2: the power with which strangers become rare towards the score 1."""
    beta: Doubles

    @property
    def shape(self) -> Doubles:
        """Of the generalised Pareto distribution that the tail comes to."""
        return -1.0 / self.alpha

    def score(self, rate: Doubles) -> Doubles:
        """(n, m): the scores that are reached at m rates."""
        return np.asarray(1 - 2 * betaincinv(self.alpha[:, None], self.beta[:, None], rate))

    def rate(self, score: Doubles) -> Doubles:
        """(n, m): how often m scores are reached."""
        return np.asarray(betainc(self.alpha[:, None], self.beta[:, None], (1 - score) / 2))


def tail_of(mean: Doubles, variance: Doubles) -> Tail:
    """The tail of scores with this mean and variance, (n,) each, by the method of moments."""
    middle = (1 - mean) / 2
    concentration = middle * (1 - middle) / (variance / 4) - 1
    return Tail(middle * concentration, (1 - middle) * concentration)
