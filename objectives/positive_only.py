"""Positive-only policy gradient: responses that are worse than their baseline teach nothing.

    loss_it = -max(A_i, 0) log pi(y_it)

The gradient weight is 1 where A > 0, else 0: rejection-sampling fine-tuning (RAFT, RFT) with the size of the advantage
as weight. The same as `spo` with `neg_scale=0`. RAFT itself gives every right answer weight 1, which is this with the
rewards for advantages; VAPO (NeMo-RL) adds it to PPO as a term with weight 0.1.

Source: RAFT, arXiv 2304.06767; as a baseline for reasoning, 2504.11343
"""

from torch import Tensor

from lagbench import Loss, objective


def weight(advantages: Tensor) -> Tensor:
    """1 where A > 0: [B]."""
    return (advantages > 0).to(advantages.dtype)


@objective(on_policy_weight=weight)
def positive_only(logprobs: Tensor, advantages: Tensor) -> Loss:
    """Naive policy gradient on responses with positive advantage alone."""
    return Loss(-advantages.clamp(min=0)[:, None] * logprobs)  # [B, T]
