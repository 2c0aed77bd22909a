"""The same measurements of every update, whatever the objective reads: the harness may look where it may not.

Means are over the tokens of the batch unless a line says otherwise. mu is the behavior policy, pi the current one
before the update, d = log pi - log mu of a token limited to +-20, w = exp(d); D is the sum of log pi - log mu over a
response, limited to +-20, and W = exp(D). Effective sample sizes depend on the ratios of weights only and have no
limit. A measurement over an empty side is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..types import Batch, Rollouts, Verdict
from .aggregate import response_means
from .policy import Step

LOG_RATIO_LIMIT = 20.0  # nats
LOWEST = -1e30  # nats, in the place of -inf

DIAGNOSTICS = {
    "loss": "what was minimized: token losses after the aggregate",
    "loss_positive": "the part of it from responses with A > 0",
    "loss_negative": "the part of it from responses with A < 0",
    "balance": "|loss| / mean |A|: 0 where both sides cancel each other (arXiv 2606.03070, theorem 2)",
    "contribution_ratio": "|loss_negative / loss_positive| (arXiv 2606.03070, theorem 4); 0 where a side is missing",
    "reward": "mean reward of the responses trained on, as their behavior policies earned it",
    "zero_variance_fraction": "share of groups whose responses all have the same reward (TRL frac_reward_zero_std)",
    "response_tokens": "mean length of a response, end of sequence included",
    "truncated_fraction": "share of responses cut at max_tokens",
    "unparsed_fraction": "share of responses in which no answer was found",
    "timeout_fraction": "share of responses whose comparison ran out of time; counted as wrong",
    "lag_mean": "mean lag of a token, in updates",
    "lag_max": "largest lag of a token, in updates",
    "nll": "mean over responses of N_i, the mean of -log pi over the response's tokens, in nats",
    "nll_positive": "the same over responses with A > 0",
    "nll_negative": "the same over responses with A < 0",
    "nll_ratio": "nll_negative / nll_positive (arXiv 2606.03070 weighs by advantages); 0 where a side is missing",
    "entropy": "mean over tokens of -sum_v pi(v) log pi(v) at the sampling temperature, in nats",
    "weight_positive": "sum of |dL / dlog pi| over tokens with A > 0: the gradient weight of that side",
    "weight_negative": "sum of |dL / dlog pi| over tokens with A < 0",
    "removed_positive": "share of tokens with A > 0 whose gradient is exactly 0: clipped, rejected or dropped",
    "removed_negative": "share of tokens with A < 0 whose gradient is exactly 0",
    "ratio_p01": "1st percentile of w",
    "ratio_p50": "median of w",
    "ratio_p99": "99th percentile of w",
    "ratio_max": "largest w",
    "kl_k1": "mean of -d: the k1 estimate of KL(mu || pi) (Schulman 2020)",
    "kl_k3": "mean of exp(d) - 1 - d: the k3 estimate of KL(mu || pi), never negative",
    "chi2_token": "mean of w^2, minus 1: the chi-square divergence of pi from mu by token (verl chi2_token)",
    "chi2_sequence": "mean over responses of W^2, minus 1 (verl chi2_seq)",
    "ess_token": "(sum w)^2 / (n sum w^2) over tokens: effective share of the sample, in (0, 1]",
    "ess_sequence": "(sum W)^2 / (n sum W^2) over responses (VCPO's ESS ratio, arXiv 2602.17616)",
    "gradient_norm": "2-norm of the gradient before clipping",
    "gradient_cosine": "cosine between this update's gradient and the last one's; 0 at the first update",
}
OF_ENGINES = {  # where the learner's own model does not draw, at versions that draw anything: agreement.py
    "engine_gap_mean": "mean |log-probability by the engine - by the learner| over a sample of what this version drew",
    "engine_gap_max": "largest of them",
}


def measure(
    batch: Batch,
    rollouts: Rollouts,
    verdicts: Sequence[Verdict],
    entropy: Tensor,
    gradient: Tensor,
    loss: tuple[float, float, float],
    step: Step,
) -> dict[str, float]:
    """Every one of `DIAGNOSTICS` for one update.

    `verdicts` are those of the B responses; `entropy` and `gradient` (dL/dlogprobs) are [B, T]; `loss` is its value
    with its positive and its negative part.
    """
    mask, advantages = batch.mask, batch.advantages
    lag = batch.lag[mask].float()  # [tokens]
    values = dict(zip(("loss", "loss_positive", "loss_negative"), loss, strict=True))
    values |= balance(*loss, float(advantages.abs().mean()))
    values |= {
        "reward": float(batch.rewards.mean()),
        "zero_variance_fraction": _zero_variance_fraction(batch),
        "response_tokens": float(mask.sum(1).float().mean()),
        "truncated_fraction": float((~rollouts.stopped).float().mean()),
        "unparsed_fraction": _share(verdicts, "unparsed"),
        "timeout_fraction": _share(verdicts, "timeout"),
        "lag_mean": float(lag.mean()),
        "lag_max": float(lag.max()),
        "entropy": _mean(entropy[mask]),
        "gradient_norm": step.gradient_norm,
        "gradient_cosine": step.gradient_cosine,
    }
    values |= nll_by_sign(batch.logprobs.detach(), advantages, mask)
    values |= weight_by_sign(gradient, advantages, mask)
    values |= distance_from_behavior(batch.logprobs.detach(), batch.behavior_logprobs, mask)
    return {name: values[name] for name in DIAGNOSTICS}


def balance(loss: float, positive: float, negative: float, mean_advantage: float) -> dict[str, float]:
    """How far a loss and its two sides are from canceling each other, in units of the mean |A|."""
    return {
        "balance": abs(loss) / mean_advantage if mean_advantage else 0.0,
        "contribution_ratio": abs(negative / positive) if positive else 0.0,
    }


def nll_by_sign(logprobs: Tensor, advantages: Tensor, mask: Tensor) -> dict[str, float]:
    """Mean response NLL, that of each sign of the advantage, and their ratio."""
    present = mask.any(1)  # [B]
    nll = response_means(-logprobs, mask)  # [B]
    positive, negative = (_mean(nll[present & side]) for side in (advantages > 0, advantages < 0))
    return {
        "nll": _mean(nll[present]),
        "nll_positive": positive,
        "nll_negative": negative,
        "nll_ratio": negative / positive if positive > 0 else 0.0,
    }


def weight_by_sign(gradient: Tensor, advantages: Tensor, mask: Tensor) -> dict[str, float]:
    """Gradient weight of each sign of the advantage, and the share of its tokens that have none."""
    values = {}
    for name, side in (("positive", advantages > 0), ("negative", advantages < 0)):
        weights = gradient[mask & side[:, None]].abs()  # [tokens]
        values[f"weight_{name}"] = float(weights.sum())
        values[f"removed_{name}"] = _mean((weights == 0).float())
    return values


def distance_from_behavior(logprobs: Tensor, behavior_logprobs: Tensor, mask: Tensor) -> dict[str, float]:
    """Ratio quantiles, divergences and effective sample sizes of the current policy on the behavior policy's tokens."""
    distance = logprobs.double().clamp(min=LOWEST) - behavior_logprobs.double().clamp(min=LOWEST)  # [B, T]
    whole = distance.where(mask, 0.0).sum(1)[mask.any(1)]  # [responses]
    distance = distance[mask]  # [tokens]
    d = distance.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)  # [tokens]
    w, whole_w = d.exp(), whole.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    p01, p50, p99 = torch.quantile(w, w.new_tensor([0.01, 0.5, 0.99])).tolist()
    return {
        "ratio_p01": p01,
        "ratio_p50": p50,
        "ratio_p99": p99,
        "ratio_max": float(w.max()),
        "kl_k1": float(-d.mean()),
        "kl_k3": float((w - 1 - d).mean()),
        "chi2_token": float(w.square().mean()) - 1,
        "chi2_sequence": float(whole_w.square().mean()) - 1,
        "ess_token": effective_share(distance),
        "ess_sequence": effective_share(whole),
    }


def effective_share(log_weights: Tensor) -> float:
    """(sum w)^2 / (n sum w^2) of weights given by their logarithms [n]: 1 where all are equal, 1/n where one is all."""
    w = (log_weights - log_weights.max()).exp()  # [n], over the largest
    return float(w.sum().square() / (len(w) * w.square().sum()))


def _share(verdicts: Sequence[Verdict], method: str) -> float:
    return sum(verdict.method == method for verdict in verdicts) / len(verdicts)


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else 0.0


def _zero_variance_fraction(batch: Batch) -> float:
    """Share of the groups whose responses all have the same reward, and so teach nothing."""
    groups = batch.rewards.view(int(batch.group.max()) + 1, -1)  # [P, G]
    return float((groups == groups[:, :1]).all(1).float().mean())
