"""LUSPO, length-unbiased sequence policy optimization: GSPO with every response weighted by its length.

    loss_i = -L_i min(s_i A_i, clip(s_i, 1 - clip_low, 1 + clip_high) A_i)

s_i is GSPO's geometric-mean ratio against the behavior policy. GSPO's mean over tokens gives a token of a long response
a small weight; the factor L_i gives every token of the batch the weight s_i A_i. TRL and Liger ship it with clip 0.2,
which hardly ever clips a geometric mean; the default here is that of GSPO's authors.

Source: arXiv 2602.05261
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import clipped_surrogate, geometric_ratio, spread


def length(mask: Tensor) -> Tensor:
    """L_i [B]."""
    return mask.sum(1)


@objective(on_policy_weight=length)
def luspo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
) -> Loss:
    """GSPO's clipped sequence ratio times the response's length."""
    s = geometric_ratio(logprobs, behavior_logprobs, mask)  # [B]
    return Loss(spread(-length(mask) * clipped_surrogate(s, advantages, clip_low, clip_high), mask))
