"""Estimates and tests as the document holds them: None for what cannot be said."""

from __future__ import annotations

import numpy as np

from ..statistics.intervals import Estimate
from ..statistics.paired import LEVEL, Paired
from . import document as doc


def interval(found: Estimate) -> doc.Interval:
    """As the document holds it: None for what cannot be said."""
    return doc.Interval(mean=found.mean, low=known(found.low), high=known(found.high))


def interval_or_none(found: Estimate) -> doc.Interval | None:
    return None if np.isnan(found.mean) else interval(found)


def known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def difference(test: Paired, p_adjusted: float, scale: float = 1.0) -> doc.Difference:
    """As the document holds it, its value divided by `scale`."""
    found = test.estimate
    scaled = Estimate(found.mean / scale, found.low / scale, found.high / scale)
    return doc.Difference(
        value=interval(scaled),
        p=known(test.p),
        p_exact=known(test.p_exact),
        exact=test.exact,
        p_adjusted=known(p_adjusted),
        significant=None if np.isnan(p_adjusted) else bool(p_adjusted <= LEVEL),
    )
