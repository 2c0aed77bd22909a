"""The same measurements of every update, whatever the objective reads. B responses, T tokens; NLL in nats."""

from __future__ import annotations

from torch import Tensor

from ..types import Batch, Rollouts
from .aggregate import response_means


def measure(batch: Batch, rollouts: Rollouts) -> dict[str, float]:
    """Reward, length, lag, NLL by sign of the advantage, and distance from the behavior policy.

    `kl_behavior` is the k1 estimate of KL(behavior || current): the mean over tokens of behavior minus current
    log-probability. A side without responses has NLL 0.
    """
    mask, logprobs = batch.mask, batch.logprobs.detach()
    mean_nll = response_means(-logprobs, mask)  # [B]
    lag = batch.lag[mask].float()  # [tokens]
    return {
        "reward": float(batch.rewards.mean()),
        "response_tokens": float(mask.sum(1).float().mean()),
        "truncated_fraction": float((~rollouts.stopped).float().mean()),
        "zero_variance_fraction": _zero_variance_fraction(batch),
        "lag_mean": float(lag.mean()),
        "lag_max": float(lag.max()),
        "nll_positive": _mean_of(mean_nll, batch.advantages > 0),
        "nll_negative": _mean_of(mean_nll, batch.advantages < 0),
        "kl_behavior": float((batch.behavior_logprobs - logprobs)[mask].mean()),
    }


def _mean_of(values: Tensor, chosen: Tensor) -> float:
    return float(values[chosen].mean()) if bool(chosen.any()) else 0.0


def _zero_variance_fraction(batch: Batch) -> float:
    """Share of the groups whose responses all have the same reward, and so teach nothing."""
    groups = batch.rewards.view(int(batch.group.max()) + 1, -1)  # [P, G]
    return float((groups == groups[:, :1]).all(1).float().mean())
