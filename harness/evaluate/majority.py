"""maj@k: is the answer that most of k attempts agree on right? Exact over all k-subsets of the n attempts made.

A class is the attempts at a problem whose answers mean the same. Attempts without an answer do not vote; if nobody
votes the majority is wrong. Of classes with equally many votes one is drawn at random, and of the class that wins one
member gives the answer: should its members' verdicts differ, it is right as often as they are. So maj@1 is avg@n.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import comb, roots_legendre

from ..config import MOST_SAMPLES
from .passk import check_k


def maj_at_k(correct: np.ndarray, clusters: np.ndarray, k: int) -> np.ndarray:
    """Unbiased estimate of the chance that the majority of k attempts is right, per problem: [M].

    From bool [M, n] and the class of every attempt, int [M, n], -1 where there was no answer. ValueErrors: k > n,
    n > 1000, and a right attempt without an answer. Self-consistency: Wang et al. 2022, arXiv 2203.11171.
    """
    check_k("maj@", correct, k)
    if correct.shape[1] > MOST_SAMPLES:
        raise ValueError(f"maj@k is computed for at most {MOST_SAMPLES} attempts at a problem, not {correct.shape[1]}")
    if (correct & (clusters < 0)).any():
        raise ValueError("an attempt without an answer (cluster -1) cannot be right")
    return np.array([_right_majorities(*_classes(*row))[k] for row in zip(correct, clusters, strict=True)])


def _classes(correct: np.ndarray, clusters: np.ndarray) -> tuple[tuple[tuple[int, int], ...], int]:
    """(Size, right members) of every class of a problem, in an order that names do not change; attempts without one."""
    sizes = Counter(clusters[clusters >= 0].tolist())
    right = Counter(clusters[correct].tolist())
    return tuple(sorted((size, right[name]) for name, size in sizes.items())), int((clusters < 0).sum())


@lru_cache(maxsize=10_000)
def _right_majorities(classes: tuple[tuple[int, int], ...], silent: int) -> np.ndarray:
    """Chance that the majority of k drawn attempts is right, k = 0, 1, ..., n: [n + 1]. About 1 ms for n = 64."""
    attempts = silent + sum(size for size, _ in classes)
    found = np.zeros(attempts + 1)
    for i, (size, right) in enumerate(classes):
        if right:
            others = [size for size, _ in classes[:i] + classes[i + 1 :]]
            found += right / size * _wins(size, others, silent)
    return np.minimum(found / comb(attempts, np.arange(attempts + 1)), 1.0)  # rounding may exceed 1


def _wins(size: int, others: Sequence[int], silent: int) -> np.ndarray:
    """Number of k-subsets in which a class has most votes, one shared by t others counted 1 / (t + 1): [n + 1], over k.

    Those in which it has v votes are the coefficients of C(size, v) x^v (1 + x)^silent times a polynomial for each
    other class: the sum over j < v of C(other, j) x^j, and y C(other, v) x^v for a tie. So t ties give y^t, and the
    integral over y from 0 to 1 is 1 / (t + 1), exactly, by Gauss-Legendre quadrature. No term is negative: none cancel.
    """
    rest, most = silent + sum(others), max(others, default=0)
    y, weights = _quadrature(len(others))  # [Q], [Q]
    votes = np.arange(1, min(size, most) + 1)[:, None]  # [V, 1]
    ways = np.zeros((len(votes), len(y), rest + 1))  # [V, Q, rest + 1], coefficients of the product so far
    ways[..., : silent + 1] = comb(silent, np.arange(silent + 1))
    for other in others:
        grown = np.zeros_like(ways)
        for j in range(other + 1):
            factor = comb(other, j) * np.where(j < votes, 1.0, np.where(j == votes, y, 0.0))  # [V, Q]
            grown[..., j:] += factor[..., None] * ways[..., : rest + 1 - j]
        ways = grown
    beaten = weights @ ways  # [V, rest + 1]
    unbeatable = comb(rest, np.arange(rest + 1))  # more votes than any other class has members
    wins = np.zeros(size + rest + 1)
    for v in range(1, size + 1):
        wins[v : v + rest + 1] += comb(size, v) * (beaten[v - 1] if v <= most else unbeatable)
    return wins


@lru_cache(maxsize=MOST_SAMPLES)
def _quadrature(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights that integrate polynomials up to this degree over [0, 1]."""
    nodes, weights = roots_legendre(degree // 2 + 1)
    return (nodes + 1) / 2, weights / 2
