"""What k attempts at a problem come to, estimated from n >= k: M problems, n attempts each, c of them right.

Each estimate is the mean over all k-subsets of the n attempts, so unbiased for k fresh attempts at the same problem.
"""

from __future__ import annotations

import numpy as np
from scipy import stats


def avg_at_n(correct: np.ndarray) -> np.ndarray:
    """Share of attempts that are right, per problem: [M] from bool [M, n]."""
    return correct.mean(1)


def pass_at_k(correct: np.ndarray, k: int) -> np.ndarray:
    """Unbiased estimate of the chance that one of k attempts is right, per problem: [M] from bool [M, n].

    1 - C(n - c, k) / C(n, k), as a product (Chen et al. 2021, arXiv 2107.03374, equation 1).
    k > n is a ValueError: the formula would return 1.
    """
    check_k("pass@", correct, k)
    return 1.0 - _all_among(correct.shape[1] - correct.sum(1), correct.shape[1], k)


def pass_hat_k(correct: np.ndarray, k: int) -> np.ndarray:
    """Unbiased estimate of the chance that all of k attempts are right, per problem: [M] from bool [M, n].

    C(c, k) / C(n, k) (pass^k of tau-bench, Yao et al. 2024, arXiv 2406.12045). k > n is a ValueError.
    """
    check_k("pass^", correct, k)
    return _all_among(correct.sum(1), correct.shape[1], k)


def g_pass_at_k(correct: np.ndarray, k: int, tau: float) -> np.ndarray:
    """Unbiased estimate of the chance that at least tau k of k attempts are right, per problem: [M] from bool [M, n].

    Sum over j >= tau k of C(c, j) C(n - c, k - j) / C(n, k) (G-Pass@k_tau of Liu et al. 2024, arXiv 2412.13147).
    tau = 1 is pass^k, tau <= 1 / k pass@k. k > n, and tau not in (0, 1], are ValueErrors.
    """
    check_k("G-Pass@", correct, k)
    if not 0 < tau <= 1:
        raise ValueError(f"G-Pass@{k} needs tau above 0 and at most 1, not {tau}")
    enough = np.arange(k + 1) / k >= tau  # [k + 1]; ceil(tau k) would ask for 8 of 100 at tau = 0.07
    return np.minimum(_right_among(correct, k) @ enough, 1.0)  # rounding may exceed 1


def mg_pass_at_k(correct: np.ndarray, k: int) -> np.ndarray:
    """Mean of G-Pass@k_tau over tau from 1/2 to 1, per problem: [M] from bool [M, n].

    2 / k times the sum of G-Pass@k_{i / k} over i from ceil(k / 2) + 1 to k (mG-Pass@k, arXiv 2412.13147): j right
    attempts earn 2 / k for each beyond ceil(k / 2). So it is 0 for k = 1, and (k - 1) / k at most for odd k.
    """
    check_k("mG-Pass@", correct, k)
    beyond = np.clip(np.arange(k + 1) - (k + 1) // 2, 0, None)  # [k + 1]
    return _right_among(correct, k) @ (2 / k * beyond)


def check_k(metric: str, correct: np.ndarray, k: int) -> None:
    attempts = correct.shape[1]
    if not 1 <= k <= attempts:
        raise ValueError(f"{metric}{k} needs k from 1 to the {attempts} attempts that were made")


def _all_among(members: np.ndarray, attempts: int, k: int) -> np.ndarray:
    """Chance that k drawn attempts are all among so many members, C(members, k) / C(attempts, k): [M] from int [M]."""
    drawn = np.arange(k)  # [k]
    again = np.clip(members[:, None] - drawn, 0, None) / (attempts - drawn)  # [M, k], chance that draw j is one too
    return again.prod(1)


def _right_among(correct: np.ndarray, k: int) -> np.ndarray:
    """Chance of 0, 1, ..., k right attempts among k drawn: hypergeometric, [M, k + 1]."""
    right, problem = np.unique(correct.sum(1), return_inverse=True)
    chance = stats.hypergeom.pmf(np.arange(k + 1), correct.shape[1], right[:, None], k)
    return chance[problem]
