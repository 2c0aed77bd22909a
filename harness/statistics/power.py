"""What a suite can see: the smallest difference that its seeds find, and how many seeds a difference takes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import optimize, special

from .intervals import FEWEST_SEEDS
from .paired import LEVEL

REACH = 9.0  # standard deviations of a normal distribution; 2e-19 of it lies outside
_nodes, _weights = np.polynomial.legendre.leggauss(400)
NORMAL = REACH * _nodes
WEIGHTS = REACH * _weights * np.exp(-(NORMAL**2) / 2) / (2 * np.pi) ** 0.5


def detectable(sd: float, seeds: int, level: float = LEVEL, power: float = 0.8) -> float:
    """Smallest true mean difference that a two-sided paired t test over so many seeds flags with this power.

    `sd` is the standard deviation over seeds of the paired difference. In a family of K tests under Holm the hardest
    comparison has level / K. nan with fewer than three seeds, where nothing is flagged.
    """
    if seeds < FEWEST_SEEDS:
        return float("nan")
    return sd * _detectable_in_sd(seeds, level, power)


def seeds_needed(sd: float, effect: float, level: float = LEVEL, power: float = 0.8, most: int = 1000) -> int | None:
    """Fewest seeds with which a true mean difference is flagged with this power; None where `most` do not suffice."""
    if sd == 0 or effect == 0:
        return FEWEST_SEEDS if effect else None
    counts = range(FEWEST_SEEDS, most + 1)
    enough = bisect_left(counts, power, key=lambda seeds: _power(abs(effect) / sd, seeds, level))
    return counts[enough] if enough < len(counts) else None


def pooled_sd(differences: Sequence[np.ndarray]) -> float:
    """Standard deviation over seeds that several samples of paired differences have in common.

    Root of the mean variance, weighted by degrees of freedom. nan values are left out; nan where no sample has two.
    """
    known = [sample[np.isfinite(sample)] for sample in differences]
    known = [sample for sample in known if len(sample) > 1]
    freedom = sum(len(sample) - 1 for sample in known)
    squares = sum(float(np.sum((sample - sample.mean()) ** 2)) for sample in known)
    return (squares / freedom) ** 0.5 if freedom else float("nan")


@cache
def _detectable_in_sd(seeds: int, level: float, power: float) -> float:
    """The same in units of the standard deviation."""
    highest = 1.0
    while _power(highest, seeds, level) < power:
        highest *= 2
    return float(optimize.brentq(lambda effect: _power(effect, seeds, level) - power, 0.0, highest))


def _power(effect: float, seeds: int, level: float) -> float:
    """Chance that the test flags a true difference of so many standard deviations: both tails of noncentral t.

    |Z + center| > critical * s, with Z standard normal and s^2 chi-squared over its degrees of freedom, integrated over
    Z (error below 1e-5). scipy's own noncentral t is nan at some of the values that root finding comes by.
    """
    freedom = seeds - 1
    critical = special.stdtrit(freedom, 1 - level / 2)
    return float(WEIGHTS @ special.chdtr(freedom, freedom * ((NORMAL + effect * seeds**0.5) / critical) ** 2))
