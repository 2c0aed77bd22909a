"""Many tests at once: p-values that keep the chance of any false alarm in a family at the level of one test."""

from __future__ import annotations

import numpy as np


def holm(p: np.ndarray, tests: int) -> np.ndarray:
    """Adjusted p-values [..., K] of families of `tests` planned tests, of which K are given: Holm (1979), step-down.

    Where the adjusted p of a test is at most the level, it is flagged; the chance that any true null hypothesis of the
    family is flagged is then at most the level, however the tests depend on each other. A test of the family that is
    not given, or whose p is nan, counts as one with p = 1: its absence makes no other test easier. nan stays nan.
    ValueError where more tests are given than were planned.
    """
    p = np.asarray(p, float)
    given = p.shape[-1]
    if given > tests:
        raise ValueError(f"{given} p-values of a family of {tests} tests; a family is fixed before its tests are made")
    order = np.argsort(p, -1, kind="stable")  # nan last
    steps = np.maximum.accumulate(np.take_along_axis(p, order, -1) * (tests - np.arange(given)), -1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(steps, 1.0), -1)
    return adjusted
