"""AsymRE, Asymmetric REINFORCE: the naive loss with a baseline below the mean reward.

    loss_it = -A_i log pi(y_it),   A_i = R_i - (mean of the group + shift),   shift = -0.1

The method is its advantage, the shared estimator `asymre` (`asymre:-0.2` for another shift): right answers weigh more
than wrong ones. The paper's theory: safe below the behavior policy's mean reward, a sharp transition to collapse at or
above it. Under a suite that fixes another advantage this is `policy_gradient`, and the report says so. With rewards of
0 and 1 and success rate p it is an SPO whose negative scale depends on the prompt.

Trinity-RFT runs it through its OPMD loss, which also divides by 1 + tau = 2. Not ASymPO, not ASPO.

Source: arXiv 2506.20520
"""

from torch import Tensor

from lagbench import Loss, objective


@objective(advantage="asymre", aggregate="token_mean")
def asymre(logprobs: Tensor, advantages: Tensor) -> Loss:
    """Naive policy gradient with a baseline shifted below the group's mean reward."""
    return Loss(-advantages[:, None] * logprobs)  # [B, T]
