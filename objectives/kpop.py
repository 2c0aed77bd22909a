"""KPop: importance-sampled policy gradient on the tokens that current and behavior policy agree on, by binary KL.

    D(p, q) = p log(p / q) + (1 - p) log((1 - p) / (1 - q))
    keep_it = D(pi, mu) <= limit and D(mu, pi) <= limit,   probabilities of y_it within [1e-6, 1 - 1e-6]
    loss_it = -r_it A_i keep_it + log_ratio_penalty (log r_it)^2,   r_it = pi / mu

The vocabulary is seen as two events, this token and all others. The band that follows is wide in ratio for rare tokens
and narrow for likely ones, where IcePop's is the same for all, and it does not look at the sign of the advantage. The
gradient weight is r where kept; the squared log-ratio acts on all tokens.

Everything is as prime-rl's pull request has it: limit 0.1, which it takes from the authors (of IcePop, at Ant), penalty
1e-3, advantages without standard deviation, removed tokens in the denominator. AReaL masks by the same two divergences,
but between proximal and behavior policy, in front of PPO's clip, and does not count what it masks.

Source: Ant's KPop, as in prime-rl (#3283); AReaL (#1405)
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import NonNegative, Positive, log_ratio

EPS = 1e-6


@objective(advantage="group_mean", aggregate="token_mean", regularized=True)
def kpop(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    limit: Positive = 0.1,
    log_ratio_penalty: NonNegative = 1e-3,
) -> Loss:
    """Unclipped ratio on tokens whose binary KL divergence is small both ways."""
    d = log_ratio(logprobs, behavior_logprobs, mask)  # [B, T]
    pi, mu = (logs.exp().clamp(EPS, 1 - EPS) for logs in (logprobs.detach(), behavior_logprobs))  # [B, T]
    removed = (divergence(pi, mu) > limit) | (divergence(mu, pi) > limit)  # [B, T]
    return Loss(-d.exp() * advantages[:, None] * ~removed + log_ratio_penalty * d**2)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL divergence between the events of probability p and q: elementwise."""
    return p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
