"""What lag costs an objective: the gain that it keeps, the area under that over lags, the lag where it is lost.

Gain is a score minus the base model's on the same problems. The base model's score is taken as known. Seeds are rows;
one that lacks a score (nan) is left out where that score is needed. Every interval is Fieller's (1954) for a ratio of
two means over the same seeds, so noise that both sides of the ratio share cancels.
"""

from __future__ import annotations

import numpy as np

from .intervals import ROUNDING, UNKNOWN, Estimate, t_quantile


def ratio_interval(numerators: np.ndarray, denominators: np.ndarray) -> Estimate:
    """Ratio of the means of two paired samples [S], with Fieller's interval: the ratios r that the data do not reject.

    Those for which the t test finds mean(numerators - r * denominators) compatible with 0. They are an interval where
    the denominators' mean is itself clearly not 0 (its own t interval excludes 0); elsewhere they reach to infinity,
    and low and high are nan, as with one seed. The mean is nan where the denominators' is 0.
    """
    numerators, denominators = np.asarray(numerators, float), np.asarray(denominators, float)
    both = np.isfinite(numerators) & np.isfinite(denominators)
    numerators, denominators = numerators[both], denominators[both]
    seeds = len(denominators)
    below = float(np.mean(denominators)) if seeds else 0.0
    if abs(below) <= ROUNDING:
        return UNKNOWN
    ratio = float(np.mean(numerators)) / below
    if seeds < 2:
        return Estimate(ratio, float("nan"), float("nan"))
    # Fieller's quadratic, written around the ratio: with residuals e = numerators - ratio * denominators it loses no
    # digits where numerators are a multiple of denominators, as for an objective that is its own reference.
    spread = denominators - below
    residuals = numerators - ratio * denominators  # their mean is 0
    scale = t_quantile(seeds) ** 2 / (seeds * (seeds - 1))
    certain = below**2 - scale * float(spread @ spread)
    if certain <= 0:
        return Estimate(ratio, float("nan"), float("nan"))
    shift = -scale * float(residuals @ spread)
    half = float(np.sqrt(certain * scale * float(residuals @ residuals) + shift**2))
    return Estimate(ratio, ratio + (shift - half) / certain, ratio + (shift + half) / certain)


def retained_gain(scores: np.ndarray, base: float, reference: np.ndarray) -> Estimate:
    """Gain of an objective divided by the reference's at lag 0: scores [S] and [S], paired by seed.

    1 where it gains as much, 0 where it is no better than the base model, negative below. nan where the reference has
    gained nothing; the interval is nan where its gain is not clearly positive.
    """
    return _share_of_gain(np.asarray(scores, float) - base, np.asarray(reference, float) - base)


def tolerance_weights(lags: np.ndarray) -> np.ndarray:
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


def lag_tolerance(scores: np.ndarray, lags: np.ndarray, base: float, reference: np.ndarray) -> Estimate:
    """Area under retained gain over log2(1 + lag), divided by its width: scores [S, L], lags [L], reference [S].

    The weighted mean of an objective's gain over lags, divided by the reference's gain at lag 0: 1 where it gains at
    every lag what the reference gains without any. Comparable between objectives over the same lags only.
    """
    gains = (np.asarray(scores, float) - base) @ tolerance_weights(lags)
    return _share_of_gain(gains, np.asarray(reference, float) - base)


def largest_lag(scores: np.ndarray, lags: np.ndarray, base: float, lost: float = 0.1) -> Estimate:
    """Largest lag up to which an objective loses at most this share of its own gain at lag 0: scores [S, L], lags [L].

    Where the curve of own retained gain (ratio of means), linear between the lags tested in log2(1 + lag), first falls
    below 1 - lost; the highest lag tested where it never does. low and high are where Fieller's lower and upper bounds
    at every lag, joined in the same way, do so: pointwise, not a band for the whole curve. Over the seeds that have
    every lag. nan where the gain at lag 0 is not positive; low and high are nan where it is not clearly so. ValueError
    where lag 0 is not among the lags.
    """
    lags, scores = np.asarray(lags, float), np.asarray(scores, float)
    if not np.any(lags == 0):
        raise ValueError(f"lags {lags.tolist()} hold no 0; expected the lag that losses are measured from")
    order = np.argsort(lags)
    lags, gains = lags[order], scores[:, order] - base
    gains = gains[np.isfinite(gains).all(axis=1)]
    if not len(gains) or float(gains[:, 0].mean()) <= ROUNDING:
        return UNKNOWN
    curve = [Estimate(1.0, 1.0, 1.0), *(ratio_interval(gain, gains[:, 0]) for gain in gains.T[1:])]
    x = np.log2(1 + lags)
    curves = ([getattr(point, name) for point in curve] for name in ("mean", "low", "high"))
    return Estimate(*(2 ** _first_below(x, np.array(values), 1 - lost) - 1 for values in curves))


def _share_of_gain(gains: np.ndarray, reference: np.ndarray) -> Estimate:
    """The ratio, where the reference gains: the share of a loss would be read as that of a gain."""
    both = np.isfinite(gains) & np.isfinite(reference)
    if not both.any() or float(reference[both].mean()) <= ROUNDING:
        return UNKNOWN
    return ratio_interval(gains, reference)


def _first_below(x: np.ndarray, values: np.ndarray, limit: float) -> float:
    """Where the line through (x, values) first falls below the limit; its end where never; nan where values are."""
    if np.isnan(values).any():
        return float("nan")
    below = np.flatnonzero(values < limit - ROUNDING)
    if not len(below):
        return float(x[-1])
    after = below[0]
    if after == 0:
        return float(x[0])
    before = after - 1
    share = max(values[before] - limit, 0.0) / (values[before] - values[after])
    return float(x[before] + share * (x[after] - x[before]))
