"""Every objective against every other, and the ranks that remain possible: intervals instead of a false total order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .families import holm
from .paired import LEVEL, Paired, paired


@dataclass(frozen=True)
class Rank:
    """The best and the worst place that an objective may have; 1 is the highest value."""

    best: int
    worst: int


@dataclass(frozen=True)
class Duel:
    """Two objectives, by index, and their seed-paired difference; `p_adjusted` is Holm's over all pairs."""

    first: int
    second: int
    paired: Paired
    p_adjusted: float


def duels(values: np.ndarray) -> list[Duel]:
    """All N (N - 1) / 2 pairs in order: values [N, S], nan where an objective lacks a seed.

    Each pair over the seeds that both have. The family is all pairs, those included that have too few seeds for a p.
    """
    pairs = list(combinations(range(len(values)), 2))
    found = [paired(values[first], values[second]) for first, second in pairs]
    adjusted = holm(np.array([pair.p for pair in found]), len(pairs))
    return [Duel(*pair, result, float(p)) for pair, result, p in zip(pairs, found, adjusted, strict=True)]


def rank_intervals(duels: Sequence[Duel], n: int, level: float = LEVEL) -> list[Rank]:
    """Ranks that each of n objectives may have: 1 + those surely better, to n - those surely worse.

    Surely: adjusted p at most the level. Whenever none of these findings is false, which has a chance of at least
    1 - level, every interval holds its objective's true rank at once (simultaneous rank intervals from pairwise tests:
    Mohamad, Goeman and van Zwet 2019; in use for rankings: Klein, Wright and Wieczorek 2020). With fewer than three
    seeds every interval is 1 to n.
    """
    better, worse = [0] * n, [0] * n  # how many are surely better, surely worse
    for duel in duels:
        if duel.p_adjusted <= level:
            first_ahead = duel.paired.estimate.mean > 0
            worse[duel.first if first_ahead else duel.second] += 1
            better[duel.second if first_ahead else duel.first] += 1
    return [Rank(1 + above, n - below) for above, below in zip(better, worse, strict=True)]
