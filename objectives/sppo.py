"""sPPO, the simple policy optimization of Trinity-RFT: a log-ratio instead of a ratio, inside a band.

    loss_it = -A_i (log pi(y_it) - log mu(y_it)) if 1 / (1 + clip) <= r_it <= 1 + clip, else 0

The gradient weight is 1 inside the band and 0 outside, on both sides whatever the sign of A: unlike PPO's clip it also
drops tokens that would move back towards the band.

Neither SPPO (self-play preference optimization) nor SPO in any of its meanings (see `spo`).

Source: arXiv 2108.05828; form of Trinity-RFT's `sppo`
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import log_ratio


@objective(aggregate="token_mean")
def sppo(logprobs: Tensor, behavior_logprobs: Tensor, advantages: Tensor, mask: Tensor, *, clip: float = 0.3) -> Loss:
    """Log-ratio to the behavior policy times advantage, inside a two-sided band only."""
    distance = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    r = distance.detach().exp()  # [B, T]
    inside = (r >= 1 / (1 + clip)) & (r <= 1 + clip)  # [B, T]
    return Loss(-advantages[:, None] * distance * inside)
