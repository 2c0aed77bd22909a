"""A real update, to see whether a machine trains."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..learn.loop import Trainer, generate, learn
from ..models.load import numerics
from ..registry import OBJECTIVES


@dataclass(frozen=True)
class Trial:
    """Whether an update was made and changed the weights; how long it took, or why there was none."""

    trained: bool
    seconds: float
    text: str


def attempt(trainer: Trainer) -> Trial:
    """Two updates at lag 0, drawn and learned like any; the second is timed."""
    objective, groups = OBJECTIVES.get(trainer.run.objective or ""), np.arange(trainer.run.prompts_per_update)
    try:
        before = trainer.policy.digest()
        for update in range(2):
            started = time.perf_counter()
            learn(trainer, objective, update, generate(trainer, update, groups))
        seconds = time.perf_counter() - started
    except Exception as error:  # whatever keeps a machine from training is the answer
        return Trial(False, 0.0, f"{type(error).__name__}: {error}")
    if trainer.policy.digest() == before:
        return Trial(False, seconds, "an update left the weights as they were")
    rows = trainer.run.prompts_per_update * trainer.run.responses_per_prompt
    return Trial(True, seconds, f"an update of {rows} responses in {seconds:.1f} s, {numerics(trainer.policy.device)}")
