"""Two measures of what lag costs, and who is surely better by each: values, ranks, differences of all pairs.

Gain under lag asks how much an objective gains under lag, by the yardstick of what the baseline gains without. Own
retention asks how much of its own gain it keeps. One that gains more than the baseline may be first by the former and
lose most by the latter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ..statistics.charged import charged_p, charged_retention_p
from ..statistics.families import holm
from ..statistics.fieller import fieller
from ..statistics.intervals import FEWEST_SEEDS, ROUNDING, UNKNOWN, Estimate
from ..statistics.paired import Paired, paired
from ..statistics.ranks import Rank, rank_intervals
from ..statistics.retention import Gains, difference_of_retention
from . import document as doc
from .contenders import Contender
from .numbers import Tested, difference, interval, ratio

Seeds = Sequence[int]
Duel = tuple[Tested, doc.Interval]  # the test of a pair, and its difference in units of the measure


class Measuring(ABC):
    """How one measure is taken of a contender, and of the difference of two."""

    @abstractmethod
    def estimate(self, contender: Contender) -> Estimate: ...

    @abstractmethod
    def seeds(self, contender: Contender) -> Seeds: ...

    @abstractmethod
    def units(self, contender: Contender, seeds: Seeds) -> np.ndarray:
        """Gain at lag 0 [S] that a contender is measured by."""

    @abstractmethod
    def duel(self, first: Contender, second: Contender, seeds: Seeds) -> tuple[Tested, Estimate]: ...

    def gains(self, contender: Contender, seeds: Seeds) -> np.ndarray:
        """Under lag [S]."""
        return contender.under_lag(seeds).scores - contender.base.score

    def value(self, contender: Contender) -> doc.Interval | None:
        """None where it cannot be formed."""
        found, seeds = self.estimate(contender), self.seeds(contender)
        if np.isnan(found.mean):
            return None
        return ratio(found, self.gains(contender, seeds), self.units(contender, seeds))

    def mean(self, contender: Contender, seeds: Seeds) -> float:
        """Over these seeds, for the order of places."""
        return float(self.gains(contender, seeds).mean() / self.units(contender, seeds).mean())


class GainUnderLag(Measuring):
    """In units of the baseline's gain at lag 0."""

    def estimate(self, contender: Contender) -> Estimate:
        return contender.gain_under_lag

    def seeds(self, contender: Contender) -> Seeds:
        return contender.seeds_with_reference

    def units(self, contender: Contender, seeds: Seeds) -> np.ndarray:
        return contender.table.reference.scores(seeds) - contender.base.score

    def duel(self, first: Contender, second: Contender, seeds: Seeds) -> tuple[Tested, Estimate]:
        ours, theirs = first.under_lag(seeds), second.under_lag(seeds)
        units = self.units(first, seeds)
        test = Tested(paired(ours.scores, theirs.scores), float(charged_p(ours, theirs)))
        if len(seeds) < FEWEST_SEEDS or units.mean() <= ROUNDING:
            return test, UNKNOWN
        return test, Estimate(*map(float, fieller(ours.scores - theirs.scores, units, (0.0, first.base.error))))


class OwnRetention(Measuring):
    """In units of the contender's own gain at lag 0."""

    def estimate(self, contender: Contender) -> Estimate:
        return contender.own_retention

    def seeds(self, contender: Contender) -> Seeds:
        return contender.seeds

    def units(self, contender: Contender, seeds: Seeds) -> np.ndarray:
        return contender.at_lag_0.scores(seeds) - contender.base.score

    def duel(self, first: Contender, second: Contender, seeds: Seeds) -> tuple[Tested, Estimate]:
        base = first.base
        under_lag = (first.under_lag(seeds), second.under_lag(seeds))
        at_lag_0 = (first.table.runs(first.at_lag_0, seeds), second.table.runs(second.at_lag_0, seeds))
        gains = [Gains(a.scores - base.score, z.scores - base.score) for a, z in zip(under_lag, at_lag_0, strict=True)]
        found = difference_of_retention(gains[0], gains[1], base.error)
        estimate = Estimate(*map(float, found.interval)) if len(seeds) >= FEWEST_SEEDS else UNKNOWN
        charged = charged_retention_p(under_lag, at_lag_0, base)
        return Tested(Paired(estimate, float(found.p), float("nan"), ""), float(charged)), estimate


GAIN_UNDER_LAG, OWN_RETENTION = GainUnderLag(), OwnRetention()
Pairs = dict[tuple[str, str], doc.Difference]  # by first and second


def measured(measure: Measuring, contenders: Sequence[Contender]) -> tuple[dict[str, doc.Measure], Pairs]:
    """By objective, its value and rank; and the differences of all pairs that have one. All are of one mismatch."""
    values = {contender.objective: measure.value(contender) for contender in contenders}
    ranked = _in_order(measure, [one for one in contenders if _has_interval(values[one.objective])])
    pairs = _pairs(measure, ranked, len(contenders))
    places = {contender.objective: place for place, contender in enumerate(ranked, 1)}
    sure = [_sure(places, *names, found) for names, found in pairs.items() if found.significant]
    ranks = rank_intervals(sure, len(ranked))
    unranked = len(contenders) - len(ranked)  # any of them may turn out better
    everything = Rank(1, len(contenders))
    found = {}
    for name, value in values.items():
        rank = (
            replace(ranks[places[name] - 1], worst=ranks[places[name] - 1].worst + unranked)
            if name in places
            else everything
        )
        found[name] = doc.Measure(value=value, place=places.get(name), best_rank=rank.best, worst_rank=rank.worst)
    return found, pairs


def _has_interval(value: doc.Interval | None) -> bool:
    return value is not None and value.low is not None


def _sure(places: dict[str, int], first: str, second: str, found: doc.Difference) -> tuple[int, int]:
    """The better one and the worse one, as indices."""
    winner, loser = (first, second) if found.value.mean > 0 else (second, first)
    return places[winner] - 1, places[loser] - 1


def _in_order(measure: Measuring, contenders: Sequence[Contender]) -> list[Contender]:
    """The best first: over the seeds that all have, or else each over its own."""
    first = measure.seeds(contenders[0]) if contenders else []
    common = [seed for seed in first if all(seed in measure.seeds(one) for one in contenders)]
    return sorted(contenders, key=lambda one: -measure.mean(one, common or measure.seeds(one)))


def _pairs(measure: Measuring, ranked: Sequence[Contender], all_of_them: int) -> Pairs:
    """p-values are adjusted for all pairs of contenders, with or without a value."""
    fought: dict[tuple[str, str], Duel] = {}
    for first, second in combinations(ranked, 2):
        seeds = [seed for seed in measure.seeds(first) if seed in measure.seeds(second)]
        test, estimate = measure.duel(first, second, seeds) if seeds else (None, UNKNOWN)
        if test is not None and not np.isnan(estimate.low):
            fought[first.objective, second.objective] = (test, interval(estimate))
    tests = all_of_them * (all_of_them - 1) // 2
    adjusted = holm(np.array([test.paired.p for test, _ in fought.values()]), tests)
    charged = holm(np.array([test.p_charged for test, _ in fought.values()]), tests)
    return {
        names: difference(test, value, float(p), float(p_charged))
        for (names, (test, value)), p, p_charged in zip(fought.items(), adjusted, charged, strict=True)
    }
