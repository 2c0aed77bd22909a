"""Every metric of a matrix of attempts: M problems, n attempts each. All of them on one page: docs/metrics.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..statistics.intervals import Estimate, score_interval
from .majority import maj_at_k
from .passk import avg_at_n, g_pass_at_k, mg_pass_at_k, pass_at_k, pass_hat_k

TAUS = (0.5, 0.75, 1.0)  # those of arXiv 2412.13147's tables


@dataclass(frozen=True)
class Group:
    """The metrics of the problems that share a label, and how many those are."""

    problems: int
    scores: Mapping[str, Estimate]


def scores(correct: np.ndarray, clusters: np.ndarray) -> dict[str, Estimate]:
    """avg@n, then pass@k, pass^k and maj@k for k = 1, 2, 4, ... up to n, then G-Pass and mG-Pass at the last of those.

    From bool [M, n] and the class of every attempt's answer, int [M, n]; see `majority.maj_at_k`.
    """
    ks = powers_of_two(correct)
    last = ks[-1]
    values = {
        f"avg@{correct.shape[1]}": avg_at_n(correct),
        **{f"pass@{k}": pass_at_k(correct, k) for k in ks},
        **{f"pass^{k}": pass_hat_k(correct, k) for k in ks},
        **{f"maj@{k}": maj_at_k(correct, clusters, k) for k in ks},
        **{f"G-Pass@{last}_{tau}": g_pass_at_k(correct, last, tau) for tau in TAUS},
        f"mG-Pass@{last}": mg_pass_at_k(correct, last),
    }
    return {name: score_interval(of_problems) for name, of_problems in values.items()}


def by_group(labels: Sequence[str], correct: np.ndarray, clusters: np.ndarray) -> dict[str, Group]:
    """`scores` of the problems of every level or subject, by its label: M labels, in alphabetical order."""
    label = np.array(labels)  # [M]
    groups = {}
    for name in sorted(set(labels)):
        rows = label == name
        groups[name] = Group(int(rows.sum()), scores(correct[rows], clusters[rows]))
    return groups


def powers_of_two(correct: np.ndarray) -> list[int]:
    """1, 2, 4, ... up to the n attempts of bool [M, n]."""
    return [2**i for i in range(correct.shape[1].bit_length())]
