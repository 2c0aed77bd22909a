"""An objective in somebody else's package: all that it takes."""

from lagbench import Loss, objective


@objective
def truncated_is(logprobs, behavior_logprobs, advantages, mask, *, cap: float = 2.0) -> Loss:
    """REINFORCE weighted by the truncated importance ratio; no gradient through the weight."""
    weight = (logprobs - behavior_logprobs).masked_fill(~mask, 0).exp().clamp(max=cap).detach()  # [B, T]
    return Loss(-weight * advantages[:, None] * logprobs)
