"""Sampling with vLLM: the responses to a prompt are one request, what is continued is a prompt of its own.

A segment ends at its last planned token because its request asks for no more, and begins with what is there already:
so plans in flight are carried out exactly. Seeds are a hash of the noise's address: the same question under the same
weights gets the same luck, as far as the engine's arithmetic is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..noise import Noise
from ..types import NonFinite, Rollouts
from .mismatch import Mismatch
from .stopping import StopStrings
from .torch_sampler import NO_DISTURBANCE, begun_pages
from .vllm_engine import VllmEngine


@dataclass(frozen=True)
class VllmSampler:
    """Draws from what `engine` holds when a token is drawn; every token says which version that was.

    `sample` may run in one thread while `update` is called from another.
    """

    engine: VllmEngine
    stop_ids: tuple[int, ...]
    max_tokens: int
    temperature: float
    mismatch: Mismatch = NO_DISTURBANCE
    stops: StopStrings | None = None

    def update(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Draw from these weights from the next token on, responses in flight too."""
        self.engine.update(weights, version)

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        noise: Noise,
        ends: Sequence[int] | None = None,
        begun: Rollouts | None = None,
    ) -> Rollouts:
        samples = noise.samples
        pages = _Pages.of(len(prompts) * samples, self.max_tokens, begun)
        limits = [self.max_tokens] * len(prompts) if ends is None else [min(end, self.max_tokens) for end in ends]
        if begun is None:
            asked = [p for p, limit in enumerate(limits) if limit]
            rows = [p * samples + g for p in asked for g in range(samples)]
            sampling = [self.sampling(limits[p], samples, noise, noise.groups[p]) for p in asked]
            outputs = self.engine.run([prompts[p] for p in asked], sampling)
        else:
            lengths = pages.lengths.tolist()
            left = [limits[row // samples] - length for row, length in enumerate(lengths)]
            rows = [row for row, more in enumerate(left) if more > 0 and not pages.stopped[row]]
            sampling = [
                self.sampling(left[row], 1, noise, noise.groups[row // samples], row % samples, lengths[row])
                for row in rows
            ]
            read = [[*prompts[row // samples], *begun.tokens[row, : lengths[row]].tolist()] for row in rows]
            outputs = self.engine.run(read, sampling)
        if rows:
            pages.write(rows, [drawn for output in outputs for drawn in output.outputs], self.stop_ids, self.stops)
        return pages.rollouts(prompts)

    def sampling(self, tokens: int, responses: int, noise: Noise, *address: int) -> Any:
        """The settings of vLLM for so many responses of so many tokens."""
        from vllm import SamplingParams

        strings = self.stops.possible if self.stops else ()
        return SamplingParams(
            n=responses,
            seed=seed_of(noise.purpose, noise.seed, noise.update, *address),
            temperature=self.mismatch.temperature or self.temperature,
            top_p=self.mismatch.top_p,
            max_tokens=tokens,
            ignore_eos=True,  # what ends a response is stated here, all of it
            stop_token_ids=list(self.stop_ids),
            stop=list(strings),
            include_stop_str_in_output=True,
            skip_special_tokens=False,
            detokenize=bool(strings),
            logprobs=0,  # of the token that was drawn
            flat_logprobs=True,
        )


@dataclass(frozen=True)
class FollowingSampler:
    """Hands the engine the weights of the version that is current before it draws, unless it holds them already."""

    sampler: VllmSampler
    owner: object  # of the weights: one engine serves several policies of a process in turn
    weights: Callable[[], Iterator[tuple[str, Tensor]]]
    version: Callable[[], int]

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        noise: Noise,
        ends: Sequence[int] | None = None,
        begun: Rollouts | None = None,
    ) -> Rollouts:
        engine, version = self.sampler.engine, self.version()
        if engine.held != (self.owner, version):
            engine.update(self.weights(), version, self.owner)
        return self.sampler.sample(prompts, noise, ends, begun)


def seed_of(*address: int) -> int:
    """A number of 62 bits for the noise at this address; the engine adds the number of the response to it."""
    return int.from_bytes(hashlib.blake2b(repr(address).encode(), digest_size=8).digest()) >> 2


@dataclass
class _Pages:
    """Rollouts while they are written: tokens, log-probabilities, mask and versions [B, T], and what has ended [B]."""

    tokens: Tensor
    logprobs: Tensor
    mask: Tensor
    versions: Tensor
    stopped: Tensor

    @classmethod
    def of(cls, rows: int, width: int, begun: Rollouts | None) -> _Pages:
        """Blank, or with what has been drawn before in its place."""
        stopped = torch.zeros(rows, dtype=torch.bool) if begun is None else begun.stopped.clone()
        tokens, logprobs, mask, versions = begun_pages((rows, width), begun)
        return cls(tokens, logprobs, mask, versions, stopped)

    @property
    def lengths(self) -> Tensor:
        """Tokens of every response: [B]."""
        return self.mask.sum(1)

    def write(self, rows: Sequence[int], drawn: Sequence[Any], ids: Sequence[int], stops: StopStrings | None) -> None:
        """Append what vLLM has drawn for each of `rows`, up to the token that completes a stop string."""
        where = torch.tensor(rows)
        sizes = torch.tensor([len(output.token_ids) for output in drawn])
        row = where.repeat_interleave(sizes)  # of every token drawn [N]
        first = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        column = self.lengths[row] + torch.arange(len(row)) - first  # [N]
        self.tokens[row, column] = _flat((output.token_ids for output in drawn), np.int64)
        self.logprobs[row, column] = _flat((output.logprobs.logprobs for output in drawn), np.float32)
        self.versions[row, column] = _versions(drawn)
        self.mask[row, column] = True
        last = self.lengths[where] - 1
        ended = torch.tensor([output.finish_reason == "stop" for output in drawn])
        self.stopped[where] = ended | torch.isin(self.tokens[where, last], torch.tensor(ids))
        if stops is not None and stops.possible:
            self._cut(row, column, stops.ended(self.tokens, row, column))
        if not self.logprobs[self.mask].isfinite().all():
            raise NonFinite(f"version {int(self.versions.max())}: the engine's log-probabilities are not finite")

    def _cut(self, row: Tensor, column: Tensor, ends: Tensor) -> None:
        """Leave out what comes after a token that completes a stop string: the engine sees its own request only."""
        for at, t in zip(row[ends].tolist(), column[ends].tolist(), strict=True):
            self.stopped[at] = True
            for page in (self.tokens, self.logprobs, self.mask, self.versions):
                page[at, t + 1 :] = 0

    def rollouts(self, prompts: Sequence[Sequence[int]]) -> Rollouts:
        width = int(self.mask.any(0).sum())
        return Rollouts(
            prompts=tuple(map(tuple, prompts)),
            tokens=self.tokens[:, :width],
            mask=self.mask[:, :width],
            behavior_logprobs=self.logprobs[:, :width],
            versions=self.versions[:, :width],
            stopped=self.stopped,
        )


def _flat(values: Iterable[Sequence[float]], kind: type) -> Tensor:
    """All of them in one: [N]."""
    return torch.from_numpy(np.fromiter(chain.from_iterable(values), kind))


def _versions(drawn: Sequence[Any]) -> Tensor:
    """The version that drew every token, from the spans that vLLM reports: [N] int32."""
    spans = [span for output in drawn for span in output.weight_versions]
    names = torch.tensor([int(span.version) for span in spans], dtype=torch.int32)
    return names.repeat_interleave(torch.tensor([span.end - span.start for span in spans]))
