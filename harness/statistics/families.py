"""Many tests at once: p-values that keep the chance of any false alarm in a family at the level of one test."""

from __future__ import annotations

import numpy as np


def holm(p: np.ndarray, tests: int) -> np.ndarray:
    """Adjusted p-values [K] of a family of `tests` planned tests, of which K are given: Holm (1979), step-down.

    Where the adjusted p of a test is at most the level, it is flagged; the chance that any true null hypothesis of the
    family is flagged is then at most the level, however the tests depend on each other. A test of the family that is
    not given, or whose p is nan, counts as one with p = 1: its absence makes no other test easier. nan stays nan.
    ValueError where more tests are given than were planned.
    """
    p = np.asarray(p, float)
    if len(p) > tests:
        raise ValueError(f"{len(p)} p-values of a family of {tests} tests; a family is fixed before its tests are made")
    known = np.flatnonzero(~np.isnan(p))
    ordered = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[ordered] = np.minimum(np.maximum.accumulate(p[ordered] * (tests - np.arange(len(ordered)))), 1.0)
    return adjusted
