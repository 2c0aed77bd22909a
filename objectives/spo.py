"""SPO, Scaled Policy Optimization: the naive policy gradient with its negative side scaled by a constant.

    loss_it = -s_i A_i log pi(y_it),   s_i = 1 if A_i >= 0 else neg_scale

`neg_scale=1` is `policy_gradient` to the bit, `neg_scale=0` is `positive_only`. The paper gives SPO as the fixed-scale
baseline beside ASymPO; its constant could not be found in any public text, 0.5 is a placeholder to sweep. Balance of
the two sides holds only where neg_scale equals mean NLL of positives over mean NLL of negatives (the recorded
`nll_positive` and `nll_negative`).

Not Single-stream (arXiv 2509.13232), Segment (2505.23564), Simple or Soft Policy Optimization, and not `sppo`.

Source: arXiv 2606.03070
"""

import torch
from torch import Tensor

from lagbench import Loss, objective


def weight(advantages: Tensor, neg_scale: float) -> Tensor:
    """s_i [B]."""
    return torch.ones_like(advantages).where(advantages >= 0, neg_scale)


@objective(on_policy_weight=weight)
def spo(logprobs: Tensor, advantages: Tensor, *, neg_scale: float = 0.5) -> Loss:
    """Naive policy gradient with negative advantages scaled by a constant."""
    return Loss(-(weight(advantages, neg_scale) * advantages)[:, None] * logprobs)  # [B, T]
