"""What the engine says that its tokens were drawn with, against the learner's own forward pass over them.

An engine keeps copies of the weights and of what it has read. One that is not brought up to date draws from another
policy than the one that its tokens are stamped with, without a word; here it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..types import Rollouts
from .forward import response_logprobs
from .policy import Policy
from .sequences import sequences

ROWS = 8  # responses compared at every version
LIMIT = 1e-5  # nats, of the mean in float32, where rounding is all that may differ
BF16_LIMIT = 0.1  # where one side is in bfloat16: 3e-2 is seen, and 0.35 with a head of an earlier version


@dataclass(frozen=True)
class Bound:
    """What the mean gap may be at a temperature of 1 and above; below, it grows as logits do that are divided by it."""

    nats: float
    tokens: int = 1  # of fewer the mean says nothing


ROUNDING, BF16 = Bound(LIMIT), Bound(BF16_LIMIT, tokens=32)


class EngineMismatch(RuntimeError):
    """An engine whose log-probabilities are not those of the version that it is said to hold."""


@dataclass(frozen=True)
class Agreement:
    """The comparison for one policy and its engine."""

    policy: Policy
    pad_id: int
    temperature: float  # that the engine draws at
    bound: Bound | None  # ROUNDING: float32 on both sides; None: the engine draws from another distribution

    def measure(self, drawn: Sequence[Rollouts]) -> dict[str, float]:
        """The gap over some of the tokens that the current version has drawn; nothing where it has drawn none.

        EngineMismatch where it is more than its bound.
        """
        sample = sampled(drawn, self.policy.version)
        if sample is None:
            return {}
        with torch.no_grad():
            batch = sequences(sample, self.pad_id, self.policy.device)
            logprobs, _ = response_logprobs(self.policy.model, batch, self.temperature)
        gap = (logprobs.cpu() - sample.behavior_logprobs)[sample.versions == self.policy.version].abs()
        mean, largest = float(gap.mean()), float(gap.max())
        if self.bound and gap.numel() >= self.bound.tokens:
            most = self.bound.nats / min(1.0, self.temperature)
            if not mean < most:
                raise EngineMismatch(
                    f"version {self.policy.version}: the engine's log-probabilities of its own tokens are {mean:.2g} "
                    f"nats off the learner's on average, and rounding explains {most:.2g} at most; an output head or a "
                    "prefix cache of an earlier version is the usual cause"
                )
        return {"engine_gap_mean": mean, "engine_gap_max": largest}


def sampled(drawn: Sequence[Rollouts], version: int) -> Rollouts | None:
    """Up to `ROWS` responses with tokens of this version, evenly taken, each with its own prompt; None if none has."""
    for rollouts in drawn:
        rows = (rollouts.mask & (rollouts.versions == version)).any(1).nonzero().squeeze(-1)
        if not len(rows):
            continue
        rows = rows[torch.linspace(0, len(rows) - 1, min(ROWS, len(rows))).long()]
        return Rollouts(
            prompts=tuple(rollouts.prompts[row // rollouts.group_size] for row in rows.tolist()),
            tokens=rollouts.tokens[rows],
            mask=rollouts.mask[rows],
            behavior_logprobs=rollouts.behavior_logprobs[rows],
            versions=rollouts.versions[rows].masked_fill(~rollouts.mask[rows], -1),
            stopped=rollouts.stopped[rows],
        )
    return None
