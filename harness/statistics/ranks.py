"""The ranks that remain possible where only some are surely better: intervals instead of a false total order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """The best and the worst place that an objective may have; 1 is the highest value."""

    best: int
    worst: int


def rank_intervals(sure: Iterable[tuple[int, int]], n: int) -> list[Rank]:
    """Ranks that each of n objectives may have, from pairs (better, worse) that are sure: 1 + better to n - worse ones.

    Whenever none of these findings is false, every interval holds its objective's true rank at once (simultaneous rank
    intervals from pairwise tests: Mohamad, Goeman and van Zwet 2019; in use for rankings: Klein, Wright and Wieczorek
    2020). Where nothing is sure every interval is 1 to n.
    """
    better, worse = [0] * n, [0] * n  # how many are surely better, surely worse
    for winner, loser in sure:
        worse[winner] += 1
        better[loser] += 1
    return [Rank(1 + above, n - below) for above, below in zip(better, worse, strict=True)]
