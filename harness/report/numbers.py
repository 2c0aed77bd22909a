"""Estimates and tests as the document holds them: None for what cannot be said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..statistics.intervals import FEWEST_SEEDS, Estimate, seed_interval
from ..statistics.paired import LEVEL, Paired
from . import document as doc


@dataclass(frozen=True)
class Tested:
    """A paired difference, and the p of the same test charged for collapses; nan where there is none."""

    paired: Paired
    p_charged: float


def interval(found: Estimate, by_seed: np.ndarray | None = None) -> doc.Interval:
    """As the document holds it, with the values of seeds that are too few for an interval."""
    few = by_seed is not None and len(by_seed) < FEWEST_SEEDS
    values = tuple(np.asarray(by_seed, float).tolist()) if few else ()
    return doc.Interval(mean=found.mean, low=known(found.low), high=known(found.high), values=values)


def of_seeds(values: np.ndarray, least: float, most: float) -> doc.Interval:
    """Mean over seeds of what lies in this range."""
    return interval(seed_interval(values, least, most), values)


def ratio(found: Estimate, gains: np.ndarray, units: np.ndarray) -> doc.Interval | None:
    """A ratio of gains [S] to units [S] over seeds; with too few for an interval, that of every seed.

    None where its interval reaches to infinity, or a seed's own unit is not positive: no number without its error.
    """
    if len(units) >= FEWEST_SEEDS:
        return None if np.isnan(found.low) else interval(found)
    return interval(found, gains / units) if len(units) and (units > 0).all() else None


def known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def difference(test: Tested, value: doc.Interval, p_adjusted: float, p_charged: float) -> doc.Difference:
    """As the document holds it, with p-values that are adjusted for the whole family."""
    claims = not (np.isnan(p_adjusted) or np.isnan(p_charged))
    return doc.Difference(
        value=value,
        p=known(test.paired.p),
        p_exact=known(test.paired.p_exact),
        exact=test.paired.exact,
        p_adjusted=known(p_adjusted),
        p_charged=known(p_charged),
        significant=bool(max(p_adjusted, p_charged) <= LEVEL) if claims else None,
    )
