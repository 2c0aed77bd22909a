"""prime-rl's IPO: importance-sampled policy gradient on the tokens whose probability has hardly changed.

    keep_it = |pi(y_it) - mu(y_it)| <= limit
    loss_it = -r_it A_i keep_it + log_ratio_penalty (log r_it)^2,   r_it = pi(y_it) / mu(y_it)

The symmetric form of `dppo`: a token that has moved too far loses its gradient whatever the sign of its advantage, so
none pulls the policy back, either, but for the squared log-ratio, which acts on all tokens. The gradient weight is r
where kept. limit 0.1 and penalty 1e-3 are prime-rl's while this was one of its losses beside DPPO, and after it had
become the only one; a later version has 0.3, no square, and a cap of 1e4 on r. Its advantage is not divided by the
standard deviation, and tokens that are removed stay in the denominator.

Not Identity Preference Optimization (arXiv 2310.12036), which IPO means elsewhere.

Source: PrimeIntellect-ai/prime-rl, loss type `ipo`; mask of DPPO, arXiv 2602.04879
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import NonNegative, log_ratio


@objective(advantage="group_mean", aggregate="token_mean", regularized=True)
def ipo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    limit: NonNegative = 0.1,
    log_ratio_penalty: NonNegative = 1e-3,
) -> Loss:
    """Unclipped ratio on tokens whose probability has moved little, either way."""
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    removed = (logprobs.detach().exp() - behavior_logprobs.exp()).abs() > limit  # [B, T]
    return Loss(-d.exp() * advantages[:, None] * ~removed + log_ratio_penalty * d**2)
