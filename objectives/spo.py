"""SPO, Scaled Policy Optimization: the naive policy gradient with its negative side scaled by a constant.

    C_i     = 1 if A_i >= 0 else neg_scale                                    (equations 16 and 17)
    loss_it = -A_i C_i log pi(y_it),   A_i = R_i - mean of the group

The gradient weight is C. `neg_scale=1` is `policy_gradient` to the bit, which collapses under lag; `neg_scale=0` is
`positive_only`, which the paper calls weak. All its experiments use 0.2, a value taken over from RIFT (arXiv
2601.09253). It is the fixed-scale baseline beside ASymPO: the two sides balance only where neg_scale is the
advantage-weighted mean NLL of positives over that of negatives, the reciprocal of the naive loss's
`contribution_ratio`.

Not Single-stream (arXiv 2509.13232), Segment (2505.23564), Simple or Soft Policy Optimization, and not `sppo`.

Source: arXiv 2606.03070
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lagbench import Loss, objective

Scale = Annotated[float, Field(ge=0, le=1)]


def weight(advantages: Tensor, neg_scale: float) -> Tensor:
    """C_i [B]."""
    return torch.ones_like(advantages).where(advantages >= 0, neg_scale)


@objective(advantage="group_mean", on_policy_weight=weight)
def spo(logprobs: Tensor, advantages: Tensor, *, neg_scale: Scale = 0.2) -> Loss:
    """Naive policy gradient with negative advantages scaled by a constant."""
    return Loss(-(weight(advantages, neg_scale) * advantages)[:, None] * logprobs)  # [B, T]
