"""What lag costs an objective: its gain under lag, the share of its own gain that it keeps, the lags where it does.

Gain is a score minus the base model's on the same problems. The base model is measured once, for all seeds, so its own
error does not average out over them: it is a part of every interval here. Seeds are rows; one that lacks a score (nan)
is left out where that score is needed. Every interval is Fieller's for a ratio of two means over the same seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fieller import fieller
from .intervals import CONFIDENCE, FEWEST_SEEDS, ROUNDING, UNKNOWN, Estimate

LOST = 0.1  # of the own gain at lag 0; what loses no more still holds it


@dataclass(frozen=True)
class Base:
    """The base model's score, and its standard error as a measurement on these very problems."""

    score: float
    error: float


@dataclass(frozen=True)
class Held:
    """Highest lag tested up to which an objective holds its own gain for sure, lowest at which it has lost it for sure.

    `lost` is None where that can be said of no lag up to the highest tested. Between the two nothing is known.
    """

    held: int
    lost: int | None
    highest: int


def base_of(pass_1: float, pass_2: float | None, problems: int, samples: int) -> Base:
    """From its scores: M problems, n samples of each.

    pass@2 - pass@1 is the mean over problems of c (n - c) / (n (n - 1)), the unbiased estimate of p (1 - p) from c of n
    right; over M n it is the squared error of pass@1 on these problems. Without pass@2 (one sample), that of problems
    of equal difficulty, which is no less.
    """
    variance = pass_1 * (1 - pass_1) if pass_2 is None else max(pass_2 - pass_1, 0.0)
    return Base(pass_1, (variance / (problems * samples)) ** 0.5)


def ratio_interval(numerators: np.ndarray, denominators: np.ndarray, error: float = 0.0) -> Estimate:
    """Ratio of the means of two paired samples [S] of gains, where the denominators' mean is positive.

    `error` is the base model's, which stands in both alike. Over the seeds that both have. nan where the denominators
    have gained nothing: the share of a loss would be read as that of a gain. low and high are nan with fewer than three
    seeds, and where the denominators' mean is not clearly positive: the interval reaches to infinity there.
    """
    numerators, denominators = np.asarray(numerators, float), np.asarray(denominators, float)
    both = np.isfinite(numerators) & np.isfinite(denominators)
    numerators, denominators = numerators[both], denominators[both]
    if not len(denominators) or float(denominators.mean()) <= ROUNDING:
        return UNKNOWN
    if len(denominators) < FEWEST_SEEDS:
        return Estimate(float(numerators.mean() / denominators.mean()), float("nan"), float("nan"))
    return Estimate(*map(float, fieller(numerators, denominators, (error, error))))


def retained_gain(scores: np.ndarray, base: Base, reference: np.ndarray) -> Estimate:
    """Gain of an objective divided by the reference's at lag 0: scores [S] and [S], paired by seed.

    1 where it gains as much, 0 where it is no better than the base model, negative below.
    """
    return ratio_interval(np.asarray(scores, float) - base.score, np.asarray(reference, float) - base.score, base.error)


def lag_weights(lags: np.ndarray) -> np.ndarray:
    """Weight of each lag [L] in the mean over x = log2(1 + lag) of a curve that is linear in between; they sum to 1.

    Half the distance in x between its neighbors, divided by the width of all (trapezoid rule). ValueError unless there
    are two lags or more, distinct and not negative.
    """
    lags = np.asarray(lags, float)
    if len(lags) < 2 or len(np.unique(lags)) < len(lags) or lags.min() < 0:
        raise ValueError(f"lags {lags.tolist()} span no area; expected at least two, distinct, from 0 on")
    order = np.argsort(lags)
    x = np.log2(1 + lags[order])
    reach = np.pad(x, 1, mode="edge")
    weights = np.empty(len(lags))
    weights[order] = (reach[2:] - reach[:-2]) / (2 * (x[-1] - x[0]))
    return weights


def gain_under_lag(scores: np.ndarray, lags: np.ndarray, base: Base, reference: np.ndarray) -> Estimate:
    """Mean gain over log2(1 + lag), in units of the reference's gain at lag 0: scores [S, L], lags [L], reference [S].

    1 where an objective gains at every lag what the reference gains without any. One that gains more than the reference
    at lag 0 starts above 1: how much of its own gain it keeps is another question. Comparable over the same lags only.
    """
    return retained_gain(np.asarray(scores, float) @ lag_weights(lags), base, reference)


def own_retention(scores: np.ndarray, lags: np.ndarray, base: Base) -> Estimate:
    """Mean gain over log2(1 + lag), in units of the objective's own gain at lag 0: scores [S, L], lags [L].

    1 where lag costs it nothing, however little it gains. ValueError where lag 0 is not among the lags.
    """
    scores = np.asarray(scores, float)
    return retained_gain(scores @ lag_weights(lags), base, scores[:, lag_0(lags)])


def lag_0(lags: np.ndarray) -> int:
    """Where lag 0 stands among the lags; ValueError where it does not."""
    found = np.flatnonzero(np.asarray(lags) == 0)
    if not len(found):
        raise ValueError(f"lags {np.asarray(lags).tolist()} hold no 0; expected the lag that losses are measured from")
    return int(found[0])


def held_and_lost(scores: np.ndarray, lags: np.ndarray, base: Base, lost: float = LOST) -> Held | None:
    """Between which lags tested an objective loses more than this share of its own gain at lag 0: scores [S, L].

    A lag is held where Fieller's interval of the gain there over the gain at lag 0 lies above 1 - lost, and lost where
    it lies below. The intervals hold at all L - 1 lags at once (Bonferroni), so both ends are right in at least 95 %.
    Nothing is interpolated. None with fewer than three seeds that have every lag, and where the gain at lag 0 is not
    clearly positive.
    """
    scores, order = np.asarray(scores, float), np.argsort(lags)
    gains = scores[np.isfinite(scores).all(axis=1)][:, order].T - base.score  # [L, S]
    if lag_0(lags) != order[0] or gains.shape[1] < FEWEST_SEEDS or float(gains[0].mean()) <= ROUNDING:
        return None
    confidence = 1 - (1 - CONFIDENCE) / max(len(gains) - 1, 1)
    reference = np.broadcast_to(gains[0], gains.shape)
    _, low, high = fieller(gains, reference, (base.error, base.error), confidence)
    if np.isnan(low).any():
        return None
    tested = np.asarray(lags)[order].astype(int)
    holds = np.append(low[1:] > 1 - lost - ROUNDING, False)
    gone = np.flatnonzero(high[1:] < 1 - lost - ROUNDING)
    return Held(int(tested[np.argmin(holds)]), int(tested[1 + gone[0]]) if len(gone) else None, int(tested[-1]))
