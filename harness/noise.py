"""Sampling noise that depends on what is sampled and on nothing else.

The uniform number behind a token is a function of (purpose, seed, update, group, sample, token): a Philox counter,
not a generator that is drawn from in some order. So a response does not depend on the batch it is sampled in, and
every objective meets the same luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# purposes: independent streams under one seed
PROMPTS, TRAINING, EVALUATION, SCHEDULE, LENGTHS, MISMATCH, PROBLEMS, CHOICE = range(8)


@dataclass(frozen=True)
class Noise:
    """The noise of P groups of G responses: `groups` are their indices in `update`."""

    purpose: int
    seed: int
    update: int
    groups: tuple[int, ...]  # P
    samples: int  # G

    def normals(self, rows: Sequence[int], tokens: Sequence[int], size: int) -> np.ndarray:
        """Standard normal numbers for token `tokens[i]` of response `rows[i]` (p * G + g): [N, size] float64."""
        drawn = np.empty((len(rows), size))
        for i, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            group, sample = self.groups[row // self.samples], row % self.samples
            drawn[i] = stream(MISMATCH, self.seed, self.update, group, sample, token).standard_normal(size)
        return drawn

    def uniforms(self, num_tokens: int) -> np.ndarray:
        """Uniform numbers in [0, 1) for every response and token: [P * G, T] float64."""
        return np.stack(
            [
                stream(self.purpose, self.seed, self.update, group, sample).random(num_tokens)
                for group in self.groups
                for sample in range(self.samples)
            ]
        )


def stream(
    purpose: int, seed: int, update: int = 0, group: int = 0, sample: int = 0, token: int = 0
) -> np.random.Generator:
    """The random stream at this address; the lower half of the counter's lowest word counts the numbers drawn."""
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[token << 32, sample, group, update]))


def chosen_problems(count: int, num_problems: int) -> list[int]:
    """Which `count` of a task's training problems a suite trains on, in their own order; the same for every seed."""
    return sorted(stream(PROBLEMS, 0).permutation(num_problems)[:count].tolist())


def prompt_order(seed: int, updates: int, groups: int, num_problems: int) -> np.ndarray:
    """Which training problem each group of each update gets: [U, P]. Every epoch is a fresh permutation."""
    rng = stream(PROMPTS, seed)
    epochs = -(-updates * groups // num_problems)
    order = np.concatenate([rng.permutation(num_problems) for _ in range(max(epochs, 1))])
    return order[: updates * groups].reshape(updates, groups)
