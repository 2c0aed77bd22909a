"""Dual-clip PPO: GRPO's clip, and a second one for negative advantages at a large ratio.

    c_it    = -min(r_it A_i, clip(r_it, 1 - clip_low, 1 + clip_high) A_i)
    loss_it = min(c_it, -dual A_i) if A_i < 0, else c_it

PPO's clip leaves one corner open: a negative token that has become much more likely than when it was drawn has an
unbounded loss. Above r = dual its gradient is zero too. verl (always), SkyRL and Trinity-RFT use dual 3; ROLL 1 + 2
clip = 1.4, off by default; AReaL, slime, NeMo-RL and OpenRLHF have it off. INTELLECT-2's two-sided clip (arXiv
2505.07291; TRL's `delta`) is the same with dual = delta, if that lies above 1 + clip_high.

Source: arXiv 1912.09729
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Positive, clipped_surrogate, ratio


@objective
def dual_clip(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual: Positive = 3.0,
) -> Loss:
    """PPO-clipped ratio whose loss on negative advantages is bounded by `dual` times the advantage."""
    loss = -clipped_surrogate(ratio(logprobs, behavior_logprobs, mask), advantages, clip_low, clip_high)  # [B, T]
    bounded = loss.minimum(-dual * advantages[:, None])  # [B, T]
    return Loss(bounded.where(advantages[:, None] < 0, loss))
