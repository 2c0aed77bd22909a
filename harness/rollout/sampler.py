"""What every engine that draws responses offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..noise import Noise
from ..types import Rollouts


class Sampler(Protocol):
    """Draws responses from the policy version that is current at the time of the call."""

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        noise: Noise,
        ends: Sequence[int] | None = None,
        begun: Rollouts | None = None,
    ) -> Rollouts:
        """`noise.samples` responses to each prompt (token ids), in the order of the prompts.

        Generation in flight: the responses to a prompt stop before token `ends` of it, where the next version takes
        over, and `begun` holds what earlier versions drew of them, to be kept and continued by this one.
        """
        ...
