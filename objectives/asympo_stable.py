"""ASymPO-stable: ASymPO on log-probabilities that are clipped before the mean, by the sign of the advantage.

    l_it    = min(log pi(y_it), log p_high) where A_i >= 0,  max(log pi(y_it), log p_low) where A_i < 0    (44 and 45)
    S_i     = mean over tokens of -l_it
    loss_it = A_i (-l_it) / sg(S_i)                                                                        (46)

Tokens of positive advantage are not pushed beyond p_high, those of negative advantage not below p_low. A clipped token
has no gradient but stays in S_i, above and below the line, so that the balance of `asympo` is exact; leaving it out of
both, an earlier heuristic of the authors, breaks that. The gradient weight of the other tokens is 1 / S_i. A response
of A_i >= 0 has S_i >= -log p_high, so its weight is at most 1 / -log p_high, 49.5 by default. One of A_i < 0 may be
nearly certain, and at mean NLL 0.001 it weighs 1000 times one at 1: `nll_floor` bounds that by 1 / nll_floor, at the
price of the balance of the responses below it.

Theorem 2 needs what it needs for `asympo`: advantages that sum to zero, the mean over responses of the mean over their
tokens, no empty response, S_i above the floor.

The paper gives ranges, p_low 0.01 to 0.05 and p_high 0.95 to 0.99; 0.02 and 0.98 are ours, from inside them. Its
diagnostic is recorded: `at_p_low` and `at_p_high`, the share of all tokens that are clipped at each bound. The optional
floor of the denominator is the paper's, 1e-6 here for certain responses only.

Source: arXiv 2606.03070
"""

from math import log

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Positive, Share, fraction, sequence_mean
from .asympo import surrogate


def clipped(logprobs: Tensor, advantages: Tensor, p_low: float, p_high: float) -> Tensor:
    """l_it [B, T]; at a bound exactly it keeps its gradient."""
    positive = (advantages >= 0)[:, None]  # [B, 1]
    return logprobs.clamp(max=log(p_high)).where(positive, logprobs.clamp(min=log(p_low)))


def weight(logprobs: Tensor, advantages: Tensor, mask: Tensor, nll_floor: float, p_low: float, p_high: float) -> Tensor:
    """1 / S_i, and 0 for a clipped token: [B, T]."""
    used = clipped(logprobs, advantages, p_low, p_high)  # [B, T]
    return (used == logprobs) / sequence_mean(-used, mask).clamp(min=nll_floor)[:, None]


@objective(advantage="group_mean", on_policy_weight=weight, balanced=True)
def asympo_stable(
    logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    p_low: Share = 0.02,
    p_high: Share = 0.98,
    nll_floor: Positive = 1e-6,
) -> Loss:
    """ASymPO whose log-probabilities are clipped above for positive advantages and below for negative ones."""
    used = clipped(logprobs, advantages, p_low, p_high)  # [B, T]
    mean_nll = sequence_mean(-used.detach(), mask)  # [B]
    tokens = -(advantages / mean_nll.clamp(min=nll_floor))[:, None] * used  # [B, T]
    positive = (advantages >= 0)[:, None]  # [B, 1]
    bounds = {
        "at_p_low": fraction(~positive & (logprobs < log(p_low)), mask),
        "at_p_high": fraction(positive & (logprobs > log(p_high)), mask),
    }
    return Loss(tokens, surrogate(mean_nll, advantages, mask.any(1), nll_floor) | bounds)
