"""REC, REINFORCE with clipping: a family that takes importance weight and clip of GRPO apart.

    loss_it = -sg(w_it 1[r_it in range]) A_i log pi(y_it) + k2 (log r_it)^2 - forward_kl log pi(y_it)
    range   = r <= 1 + clip_high if A > 0, r >= 1 - clip_low if A < 0                   clip="one_side"
              1 - clip_low <= r <= 1 + clip_high                                        clip="two_side"
              two_side, or r <= 1 - ring_low if A > 0, or r >= 1 + ring_high if A < 0   clip="ring"
              one_side of s_i for all tokens of a response                              clip="sequence_one_side"
    w_it    = 1, r_it, s_i or exp(A_i / temperature)      weight="none", "ratio", "sequence", "advantage"
    r_it    = pi(y_it) / mu(y_it),   s_i its geometric mean over the response

The gradient weight is w in range and 0 outside. The paper finds that GRPO needs its clip and not its weight: `one_side`
with `ratio` has GRPO's gradient, with `none`, the default here, it is the paper's REC-OneSide-NoIS, and a clip of 0.6
and 2 learns faster. `ring` also takes what has moved far against its advantage. `clip="none" weight="none"` is the
policy gradient (Trinity-RFT's default) and with k2 Kimi's surrogate by token (k2 is half its tau); forward_kl imitates
the data whatever their advantage.

Clip 0.2 and 0.2, ring 0.6 and 2, temperature 1 and no regularizer as in Trinity-RFT, whose tokens out of range stay in
the denominator. It takes a mean over responses for `sequence_one_side`, and may drop negative responses at random
(RED-Drop), which is absent.

Source: arXiv 2509.24203; Trinity-RFT's `rec`
"""

from typing import Literal

import torch
from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import NonNegative, Positive, log_ratio, sequence_mean, spread

Clip = Literal["none", "one_side", "two_side", "ring", "sequence_one_side"]
Weight = Literal["none", "ratio", "sequence", "advantage"]


@objective(advantage="group_mean", aggregate="token_mean")
def rec(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: Clip = "one_side",
    weight: Weight = "none",
    clip_low: NonNegative = 0.2,
    clip_high: NonNegative = 0.2,
    ring_low: float = 0.6,
    ring_high: float = 2.0,
    temperature: Positive = 1.0,
    k2: NonNegative = 0.0,
    forward_kl: NonNegative = 0.0,
) -> Loss:
    """REINFORCE on the tokens whose ratio is in a range, with or without a weight."""
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    r, s = d.detach().exp(), spread(sequence_mean(d.detach(), mask).exp(), mask)  # [B, T]
    up, down = (advantages > 0)[:, None], (advantages < 0)[:, None]  # [B, 1]
    above, below = r > 1 + clip_high, r < 1 - clip_low  # [B, T]
    outside = {
        "none": torch.zeros_like(mask),
        "one_side": (up & above) | (down & below),
        "two_side": above | below,
        "ring": (above | below) & ~((up & (r <= 1 - ring_low)) | (down & (r >= 1 + ring_high))),
        "sequence_one_side": (up & (s > 1 + clip_high)) | (down & (s < 1 - clip_low)),
    }[clip]  # [B, T]
    tempered = (advantages[:, None] / temperature).exp()  # [B, 1]
    w = {"none": torch.ones_like(r), "ratio": r, "sequence": s, "advantage": tempered}[weight]  # [B, T]
    return Loss(-w * ~outside * advantages[:, None] * logprobs + k2 * d**2 - forward_kl * logprobs)
