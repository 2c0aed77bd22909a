"""GPG, Group Policy Gradient: the naive loss, rescaled to make up for groups that teach nothing.

    alpha   = B / (responses in groups whose rewards differ)
    loss_it = -alpha A_i log pi(y_it),   A_i = R_i - mean of the group

Groups of equal rewards have no gradient; alpha gives their share to the others, so that a batch with few informative
groups takes a step of full size. alpha is 0 where no group is informative. The gradient weight is alpha.

The authors also resample until at least half of the responses are informative; here every objective trains on the same
rollouts, so alpha is unbounded. verl's `gpg` counts non-zero rewards instead of informative groups, which is not the
paper's alpha. arXiv 2606.03070 ran GPG in verl beside ASymPO, presumably that `gpg`, and reports that it collapses
under lag; the value baseline that it speaks of is in neither GPG's paper nor verl's code.

Source: arXiv 2504.02546
"""

from torch import Tensor

from lagbench import Loss, objective

from .arithmetic import informative


def alpha(rewards: Tensor, group: Tensor) -> Tensor:
    """Responses per informative response; 0 if there is none."""
    count = informative(rewards, group).sum()
    return (len(rewards) / count.clamp(min=1)) * (count > 0)


@objective(advantage="group_mean", aggregate="token_mean", on_policy_weight=alpha)
def gpg(logprobs: Tensor, advantages: Tensor, rewards: Tensor, group: Tensor) -> Loss:
    """Naive policy gradient times batch size over the number of responses in groups with different rewards."""
    scale = alpha(rewards, group)
    return Loss(-scale * advantages[:, None] * logprobs, {"alpha": float(scale)})
