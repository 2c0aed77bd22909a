"""ASPO, asymmetric importance sampling: a right token counts the more, the less likely it has become.

    loss_it = -sg(min(1 / r_it, dual)) A_i log pi(y_it), zero if r_it > 1 + clip_high  if A_i > 0
    loss_it = -max(r_it, 1 - clip_low) A_i                                             otherwise
    r_it    = pi(y_it) / mu(y_it)

Where all tokens of a response share its advantage, the ratio acts as a weight, and PPO's gives most to the positive
tokens that are already ahead. Here the gradient weight of a positive token is the reciprocal, and zero where PPO's clip
removes it. The reciprocal is cut softly at dual: such a token keeps its gradient. A negative token has PPO's weight, r
above 1 - clip_low and zero below.

Clip 0.2 and 0.2 as in the paper. dual is 3, where the paper's figure of the regions draws it and as in verl's PPO; its
text gives no number. The KL term is absent. The value of a positive token's loss is that of -w A log pi, where the
paper has w A.

Not ASymPO (`asympo`, arXiv 2606.03070), and `asymre` is a third.

Source: arXiv 2510.06062, section 6 and equation 3
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Positive, ratio


@objective
def aspo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual: Positive = 3.0,
) -> Loss:
    """PPO's clip with the reciprocal of the ratio as weight of positive tokens."""
    r = ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    flipped = (1 / r.detach()).clamp(max=dual) * (r <= 1 + clip_high)  # [B, T]
    loss = (flipped * logprobs).where(advantages[:, None] > 0, r.clamp(min=1 - clip_low))  # [B, T]
    return Loss(-loss * advantages[:, None])
