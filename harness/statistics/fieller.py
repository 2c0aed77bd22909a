"""Fieller's interval (1954) for a ratio of two means over the same seeds, and differences of such ratios.

Vectorized: seeds are the last axis, everything before it is repeated. An error that all seeds share, as of the base
model that is measured once, is a part of both means: `shared` holds what it adds to the numerators' and to the
denominators', in standard errors of one and the same source.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from .intervals import CONFIDENCE

Shared = tuple[np.ndarray | float, np.ndarray | float]


def fieller(
    numerators: np.ndarray, denominators: np.ndarray, shared: Shared = (0.0, 0.0), confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratio of means, low and high, each [...], of paired samples [..., S], S at least 2: what data do not reject.

    The ratios r with (mean of d)^2 <= t^2 var(d) / S + z^2 (a - r b)^2, where d = numerators - r denominators, t and z
    are the quantiles of Student and of the normal distribution, and (a, b) is `shared`: noise estimated from S seeds
    and noise that is known each reach as far as they would alone, added as squares. low and high are nan where the
    denominators' mean is not clearly different from 0: the ratios reach to infinity there.
    """
    seeds = numerators.shape[-1]
    above, below = numerators.mean(-1), denominators.mean(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = above / below
    # The quadratic written around the ratio: with residuals e = numerators - ratio * denominators it loses no digits
    # where numerators are a multiple of denominators, as for an objective that is its own reference.
    spread = denominators - below[..., None]
    residuals = numerators - ratio[..., None] * denominators  # their mean is 0
    tail = 0.5 + confidence / 2
    student = special.stdtrit(seeds - 1, tail) ** 2 / (seeds * (seeds - 1))
    normal = special.ndtri(tail) ** 2
    left = shared[0] - ratio * shared[1]
    certain = below**2 - student * np.sum(spread * spread, -1) - normal * np.square(shared[1])
    shift = -student * np.sum(residuals * spread, -1) - normal * left * shared[1]
    noise = student * np.sum(residuals * residuals, -1) + normal * left**2
    certain = np.where(certain > 0, certain, np.nan)
    half = np.sqrt(certain * noise + shift**2)
    return ratio, ratio + (shift - half) / certain, ratio + (shift + half) / certain
