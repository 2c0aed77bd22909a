"""OPSM, off-policy sequence masking: GRPO without the wrong answers that the current policy would hardly give any more.

    M_i     = 0 if A_i < 0 and mean over tokens of log mu(y_it) - log pi(y_it) > delta, else 1
    loss_it = -M_i min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i),   r_it = pi(y_it) / mu(y_it)

Negative responses far from the current policy are what destabilizes training; positive ones stay. The gradient weight
is GRPO's on the responses that are left. The threshold has no agreed scale: TRL suggests 0.5 (off by default),
Trinity-RFT 0.1, slime 1e-4. slime takes proximal log-probabilities for mu, the others the recorded ones. Rejected
tokens stay in the denominator. mu-GRPO (arXiv 2605.17570) drops only what follows the first token of a wrong answer
whose ratio passes a threshold; that could not be read in public text, so it is absent.

Source: DeepSeek-V3.2, arXiv 2512.02556
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import clipped_surrogate, log_ratio, sequence_mean, spread


@objective
def opsm(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    delta: float = 0.5,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Loss:
    """PPO-clipped ratio on all but stale responses of negative advantage."""
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    stale = (advantages < 0) & (sequence_mean(-d.detach(), mask) > delta)  # [B]
    loss = -clipped_surrogate(d.exp(), advantages, clip_low, clip_high)  # [B, T]
    return Loss(loss, kept=~spread(stale, mask))
