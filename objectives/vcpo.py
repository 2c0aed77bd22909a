"""VCPO, variance-controlled policy optimization: sequence weights, and a step as long as the sample is worth.

    W_i     = product over tokens of pi(y_it) / mu(y_it)
    loss_it = -sg(min(W_i, cap)) A_i log pi(y_it)
    ESS     = (sum_i W_i)^2 / (n sum_i W_i^2) over the n responses with tokens
    step    = learning rate times min(1, ESS / ess_base)^(1/2)

The more the weights concentrate on a few responses, the smaller the step; the square root is the rule for Adam-type
optimizers (`rule="linear"` for SGD). ESS is taken over the uncut weights, as shipped; it depends on their ratios only
and is computed from their logarithms, which need no limit: W of a long response leaves the range of floats. cap 8 as in
the authors' script. The gradient weight is min(W, cap).

The paper's second part, the off-policy optimal baseline, is absent: it needs the gradient norm of every response, and
an objective here sees log-probabilities only. As shipped, it measures that norm on gradients that already hold W and
multiplies W^2 again. VCPO divides by the biased standard deviation; the shared estimator is unbiased.

Source: arXiv 2602.17616
"""

from typing import Literal

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import Positive, effective_share, log_product, product_ratio


@objective
def vcpo(
    logprobs: Tensor,
    behavior_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    cap: Positive = 8.0,
    ess_base: Positive = 1.0,
    rule: Literal["sqrt", "linear"] = "sqrt",
) -> Loss:
    """REINFORCE weighted by the truncated response ratio, its step scaled by the effective sample size."""
    w = product_ratio(logprobs, behavior_logprobs, mask).detach()  # [B]
    ess = effective_share(log_product(logprobs.detach(), behavior_logprobs, mask)[mask.any(1)])
    scale = min(1.0, ess / ess_base) ** (0.5 if rule == "sqrt" else 1.0)
    tokens = -(w.clamp(max=cap) * advantages)[:, None] * logprobs  # [B, T]
    return Loss(tokens, {"ess": ess, "step_scale": scale}, step_scale=scale)
