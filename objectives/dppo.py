"""DPPO, divergence PPO: a trust region by the probability a token gained or lost, not by its ratio.

    keep_it = not (A_i > 0 and pi - mu > high) and not (A_i < 0 and mu - pi > low)             divergence="tv"
    keep_it = not (KL_it > kl and the token has moved in the direction of A_i)                 divergence="kl"
    loss_it = -r_it A_i keep_it                                                        surrogate="ratio"
    loss_it = -sg(min(r_it, cap)) A_i log pi(y_it) keep_it                             surrogate="truncated"
    r_it    = pi(y_it) / mu(y_it)
    KL_it   = mu log(mu / pi) + (1 - mu) log((1 - mu + 1e-8) / (1 - pi + 1e-8)) of the token's probability

A ratio clip removes rare tokens after tiny changes and lets frequent ones move far; the binary total variation treats
both by what they change. The gradient weight is r where kept, and min(r, cap) if truncated. Thresholds 0.2 and 0.2,
0.05 for the KL, as in SkyRL and prime-rl, which have no cap. The authors and verl (`dppo_tv`, `dppo_kl`) truncate; a
gradient differs from that of the default only where r exceeds the cap, 20 in their code and 3 in verl's configuration
(`clip_ratio_c`). prime-rl's default loss is the first with `log_ratio_penalty=1e-3`, a squared log-ratio on all tokens,
removed ones included. Its `ipo` is the symmetric form with 0.1 and not Identity-PO.

Source: arXiv 2602.04879
"""

from typing import Literal

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import LOG_RATIO_LIMIT, Positive, difference

EPS = 1e-8


@objective(aggregate="token_mean")
def dppo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    low: float = 0.2,
    high: float = 0.2,
    kl: float = 0.05,
    divergence: Literal["tv", "kl"] = "tv",
    surrogate: Literal["ratio", "truncated"] = "ratio",
    cap: Positive = 20.0,
    log_ratio_penalty: float = 0.0,
) -> Loss:
    """Ratio without a clip on tokens whose probability has not moved too far in the advantage's direction."""
    distance = difference(logprobs, behavior_logprobs, mask)  # [B, T]
    d = distance.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)  # [B, T]
    pi, mu = logprobs.detach().exp(), behavior_logprobs.exp()  # [B, T]
    up, down = (advantages > 0)[:, None], (advantages < 0)[:, None]  # [B, 1]
    if divergence == "tv":
        removed = (up & (pi - mu > high)) | (down & (mu - pi > low))  # [B, T]
    else:
        far = -mu * distance.detach() + (1 - mu) * ((1 - mu + EPS) / (1 - pi + EPS)).log() > kl  # [B, T]
        removed = far & ((up & (pi > mu)) | (down & (pi < mu)))  # [B, T]
    r = d.exp() if surrogate == "ratio" else d.detach().exp().clamp(max=cap) * logprobs  # [B, T]
    return Loss(-r * advantages[:, None] * ~removed + log_ratio_penalty * d**2)
