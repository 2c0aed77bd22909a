"""Whether a difference is more than collapses could explain that have happened, or that nobody has seen yet.

Runs collapse at random, and a few seeds seldom show how often. An objective whose runs collapse now and then, and score
well otherwise, looks surely better on seeds that all went well; one whose runs happened to collapse looks surely worse.
So a difference is tested once more, charged for that: the better one's scores are multiplied by the share of its runs
that may be relied on not to collapse (a run that has collapsed may score 0), and a collapsed run of the worse one
counts as the mean of its others. Where all of them have collapsed, that is no chance: S of S runs leave a rate of at
least 0.05^(1/S), and so much of a run counts as it is, the rest as its runs under other schedules that have not
collapsed. Vectorized: seeds are the last axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .intervals import FEWEST_SEEDS, lowest_of_all
from .lag_numbers import Base
from .paired import t_test
from .retention import Gains, difference_of_retention


@dataclass(frozen=True)
class Runs:
    """Scores [..., S] of an objective, the same with collapsed runs filled, and its highest collapse rate [...].

    The rate is the `highest_share` that the collapses of all its runs, under whatever schedule, leave open.
    """

    scores: np.ndarray
    filled: np.ndarray
    rate: np.ndarray

    @property
    def charged(self) -> np.ndarray:
        return (1 - self.rate)[..., None] * self.scores


Both = tuple[Runs, Runs]  # first, second


def filled(scores: np.ndarray, collapsed: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """Scores [..., S] with those of collapsed runs replaced by the mean of the others.

    Where all have collapsed, by lowest * score + (1 - lowest) * healthy with `lowest_of_all(S)`; `healthy` [...] is the
    mean score of the objective's runs that have not collapsed, under whatever schedule, and 1 where there are none.
    """
    kept = ~collapsed
    count = kept.sum(-1, keepdims=True)
    others = np.where(kept, scores, 0.0).sum(-1, keepdims=True) / np.maximum(count, 1)
    lowest = lowest_of_all(scores.shape[-1])
    surely = lowest * scores + (1 - lowest) * np.asarray(healthy)[..., None]
    return np.where(collapsed, np.where(count > 0, others, surely), scores)


def charged_p(first: Runs, second: Runs) -> np.ndarray:
    """Two-sided p [...] of the difference in scores, charged; 1 where the charge is all of it, or cannot be made."""
    ahead = (first.scores - second.scores).mean(-1)[..., None] > 0
    differences = np.where(ahead, first.charged - second.filled, second.charged - first.filled)
    return _if_still_ahead(differences, t_test(differences))


def charged_retention_p(under_lag: Both, at_lag_0: Both, base: Base) -> np.ndarray:
    """The same of own retention, from mean scores over lags and scores at lag 0 of both.

    The better one's gain under lag is charged; its gain at lag 0 is that of its runs that have not collapsed.
    """
    kept = [
        (lag.scores.mean(-1) - base.score) / (zero.scores.mean(-1) - base.score)
        for lag, zero in zip(under_lag, at_lag_0, strict=True)
    ]
    ahead = (kept[0] > kept[1])[..., None]
    first, second = under_lag
    zeros = [runs.filled - base.score for runs in at_lag_0]
    better = Gains(np.where(ahead, first.charged, second.charged) - base.score, np.where(ahead, *zeros))
    worse = Gains(np.where(ahead, second.filled, first.filled) - base.score, np.where(ahead, *reversed(zeros)))
    found = difference_of_retention(better, worse, base.error)
    return _if_still_ahead(found.numerators, found.p)


def _if_still_ahead(differences: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The p where the better one is still ahead, else 1; with too few seeds it stays nan."""
    beaten = ~(differences.mean(-1) > 0)
    return np.where(beaten & (differences.shape[-1] >= FEWEST_SEEDS), 1.0, p)
