"""What the initial policy draws is the same for every objective of a seed: drawn once for a suite, then read.

Every file is named by the digest of all that its content depends on, appears whole or not at all, and is only ever read
or made again; so cells in parallel may share the folder, and deleting it costs time and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from .. import store
from ..config import Run, digest_of
from ..models import digest, locate
from ..noise import LENGTHS, Noise
from ..rollout import Sampler
from ..rollout.text import Codec
from ..rollout.vllm_engine import engine_packages
from ..types import Problem, Rollouts

LIMIT = 256 * 2**20  # bytes in the folder; above it, what is drawn is not kept
PACKAGES = ("lagbench", "torch", "transformers")  # that decide what is drawn
LENGTH_SAMPLES = 4  # responses behind the mean length of the initial policy's responses to a problem


@dataclass(frozen=True)
class Beginnings:
    """The shared folder, seen from a run: its files are those of this initial policy and these sampling settings."""

    folder: Path
    identity: str

    @classmethod
    def of(cls, run: Run, folder: Path) -> Beginnings:
        facts = {
            "model": digest(locate(run.model)),
            "sampling": run.model_dump(include={"task", "prompt", "temperature", "max_tokens", "mismatch", "sampler"}),
            "packages": [version(name) for name in (*PACKAGES, *engine_packages(run.sampler))],
            "arithmetic": [torch.get_num_threads(), torch.cuda.is_available(), torch.backends.cpu.get_cpu_capability()],
        }
        return cls(folder, digest_of(facts))

    def __call__(self, make: Callable[[], Any], *address: Any) -> Any:
        """What `make` returns for this address: read if somebody has made it, else made and kept."""
        path = self.folder / f"{digest_of([self.identity, *address])}.pt"
        try:
            return torch.load(path, weights_only=True)
        except Exception:  # not there, or damaged, whatever the unpickler makes of it: made again below
            pass
        made = make()
        try:
            if self._size() < LIMIT:
                store.write_atomically(path, lambda temporary: store.save_tensors(made, temporary), uuid4().hex)
        except OSError:
            pass  # without room for it the next cell makes it again
        return made

    def _size(self) -> int:
        """Bytes in the folder, of what others do not rename at this very moment."""
        paths = self.folder.glob("*.pt")
        return sum(os.stat(path).st_size for path in paths if path.exists())


@dataclass(frozen=True)
class SharingSampler:
    """A sampler that reads what the initial policy has already drawn for another cell."""

    sampler: Sampler
    version: Callable[[], int]
    beginnings: Beginnings

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        noise: Noise,
        ends: Sequence[int] | None = None,
        begun: Rollouts | None = None,
    ) -> Rollouts:
        if self.version() > 0:
            return self.sampler.sample(prompts, noise, ends, begun)

        def draw() -> dict[str, Any]:
            return vars(self.sampler.sample(prompts, noise, ends))

        return Rollouts(**self.beginnings(draw, list(prompts), str(noise), ends))


def initial_lengths(
    run: Run, problems: Sequence[Problem], order: np.ndarray, sampler: Sampler, codec: Codec
) -> np.ndarray:
    """Mean tokens of the responses of the sampler's present policy to the problem of every group: [U, P]."""
    asked = np.unique(order)
    width = max(1, run.prompts_per_update * run.responses_per_prompt // LENGTH_SAMPLES)
    means = np.zeros(len(problems))
    for start in range(0, len(asked), width):
        part = asked[start : start + width].tolist()
        noise = Noise(LENGTHS, run.seed, 0, tuple(part), LENGTH_SAMPLES)
        drawn = sampler.sample([codec.encode(problems[i]) for i in part], noise)
        means[part] = drawn.mask.sum(1).view(-1, LENGTH_SAMPLES).double().mean(1).numpy()
    return means[order]
