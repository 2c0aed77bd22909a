"""Geometric sequence mask: GRPO without the responses whose mean log-ratio is not near zero.

    s_i     = exp(mean over tokens of log pi(y_it) - log mu(y_it))
    loss_it = -min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i) if low <= s_i <= high, else rejected
    r_it    = pi(y_it) / mu(y_it)

A whole response stays or goes, whatever its length and its advantage: clipping token by token cannot bound how far a
response has drifted. The gradient weight is GRPO's on the responses that are left. `rejected_fraction` is the share of
responses that are not; under lag bounds this narrow may leave few.

Bounds 0.99 and 1.01 as in SkyRL, which suggests wider ones for mixtures of experts, masks by the proximal policy's s
and clips around that policy; rejected tokens stay in its denominator, as here. verl's bypass mode has this loss with
0.999 and 1.001, and counts the tokens that are left (`denominator="kept"`). `opsm` masks wrong answers alone and only
on one side. Trust Region Masking (arXiv 2512.23075) rejects by the largest divergence within a response instead; its
threshold could not be read in public text, so it is absent.

Source: SkyRL's `sequence_mask_metric=geometric`, verl's `bypass_ppo_clip_geo_rs`
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import clipped_surrogate, log_ratio, sequence_mean, spread


@objective(aggregate="token_mean")
def geo_mask(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    low: float = 0.99,
    high: float = 1.01,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Loss:
    """PPO-clipped ratio on the responses whose geometric-mean ratio is inside a narrow band."""
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    s = sequence_mean(d.detach(), mask).exp()  # [B]
    kept, present = (s >= low) & (s <= high), mask.any(1)  # [B]
    rejected = float((~kept & present).sum() / present.sum().clamp(min=1))
    loss = -clipped_surrogate(d.exp(), advantages, clip_low, clip_high)  # [B, T]
    return Loss(loss, {"rejected_fraction": rejected}, kept=spread(kept, mask))
