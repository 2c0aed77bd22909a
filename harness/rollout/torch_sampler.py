"""Sampling with the learner's own model: batched, KV cache, the prompt computed once per group.

Two loops write the same responses: on a CPU rows leave as they end, on a GPU shapes stay (`static_decoding.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from ..noise import Noise
from ..types import NonFinite, Rollouts
from . import static_decoding
from .decoding import Reading, inverse_cdf, next_logits, read
from .mismatch import Mismatch
from .padding import positions
from .stopping import StopStrings

NO_DISTURBANCE = Mismatch()


@dataclass(frozen=True)
class Pages:
    """All responses of a call, filled in place."""

    tokens: Tensor  # [B, T]
    logprobs: Tensor  # [B, T]
    drawn: Tensor  # [B, T] bool
    versions: Tensor  # [B, T]
    stopped: Tensor  # [B] bool
    lengths: Tensor  # [B] tokens drawn before this call
    limits: Tensor  # [B] tokens after it, at most
    uniforms: Tensor  # [B, T] float64


@dataclass(frozen=True)
class TorchSampler:
    """Draws from `model` as it is at the time of the call, which `version` names."""

    model: PreTrainedModel
    version: Callable[[], int]
    stop_ids: tuple[int, ...]
    pad_id: int
    max_tokens: int
    temperature: float
    mismatch: Mismatch = NO_DISTURBANCE
    stops: StopStrings | None = None

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        noise: Noise,
        ends: Sequence[int] | None = None,
        begun: Rollouts | None = None,
    ) -> Rollouts:
        device = self.model.device
        uniforms = torch.from_numpy(noise.uniforms(self.max_tokens)).to(device)  # [B, T] float64
        limits = self._limits(len(prompts), noise.samples, ends).to(device)  # [B] tokens
        tokens, logprobs, drawn, versions = (value.to(device) for value in begun_pages(uniforms.shape, begun))  # [B, T]
        lengths = drawn.sum(1)  # [B]
        stopped = torch.zeros_like(lengths, dtype=torch.bool) if begun is None else begun.stopped.to(device, copy=True)
        rows = (~stopped & (lengths < limits)).nonzero().squeeze(-1)  # the responses still being written
        if len(rows):
            pages = Pages(tokens, logprobs, drawn, versions, stopped, lengths, limits, uniforms)
            reading = self._read(prompts, noise.samples, rows, tokens, lengths)
            if static_decoding.fits(self.model, self.mismatch):
                self._write_static(reading, rows, pages)
            else:
                self._write(reading, rows, pages, noise)
        if not logprobs[drawn].isfinite().all():
            raise NonFinite(f"version {self.version()}: the policy's log-probabilities are not finite")
        width = int(drawn.any(0).sum())
        return Rollouts(
            prompts=tuple(map(tuple, prompts)),
            tokens=tokens[:, :width].cpu(),
            mask=drawn[:, :width].cpu(),
            behavior_logprobs=logprobs[:, :width].cpu(),
            versions=versions[:, :width].cpu(),
            stopped=stopped.cpu(),
        )

    def _write(self, reading: Reading, rows: Tensor, pages: Pages, noise: Noise) -> None:
        """Token after token, with rows that have ended left out of the next forward pass."""
        stops = torch.tensor(self.stop_ids, device=rows.device)
        state = _Decoder(self.model, reading)
        t = pages.lengths[rows]  # the token that each of them gets next
        while len(rows):
            distribution = self.mismatch.logprobs(state.logits.float(), self.temperature, _normals(noise, rows, t))
            token = inverse_cdf(distribution, pages.uniforms[rows, t])  # [rows]
            pages.tokens[rows, t] = token
            pages.logprobs[rows, t] = distribution.gather(-1, token[:, None]).squeeze(-1)
            pages.drawn[rows, t] = True
            pages.versions[rows, t] = self.version()
            ended = torch.isin(token, stops)
            if self.stops is not None:
                ended |= self.stops.ended(pages.tokens, rows, t)
            pages.stopped[rows] = ended
            t = t + 1
            going = (~ended & (t < pages.limits[rows])).nonzero().squeeze(-1)
            if 0 < len(going) < len(rows):
                state.keep(going)
            rows, token, t = rows[going], token[going], t[going]
            if len(rows):
                state.advance(token)

    def _write_static(self, reading: Reading, rows: Tensor, pages: Pages) -> None:
        """The same responses without a decision of the host per token."""
        draft = static_decoding.Draft(
            tokens=pad(pages.tokens[rows], (0, 1)),
            logprobs=pad(pages.logprobs[rows], (0, 1)),
            uniforms=pad(pages.uniforms[rows], (0, 1)),
            limits=pages.limits[rows],
            lengths=pages.lengths[rows],
            stops=torch.tensor(self.stop_ids, device=rows.device),
            distribution=lambda logits: self.mismatch.logprobs(logits, self.temperature, _no_normals),
        )
        static_decoding.write(self.model, reading, draft, self.stops)
        written = torch.arange(self.max_tokens, device=rows.device) < draft.lengths[:, None]  # [rows, T]
        new = written & ~pages.drawn[rows]
        pages.tokens[rows] = draft.tokens[:, :-1] * written
        pages.logprobs[rows] = draft.logprobs[:, :-1].where(written, 0.0)
        pages.versions[rows] = pages.versions[rows].masked_fill(new, self.version())
        pages.drawn[rows], pages.stopped[rows] = written, draft.stopped

    def _limits(self, prompts: int, samples: int, ends: Sequence[int] | None) -> Tensor:
        """Tokens that each response may have after this call: [B]."""
        longest = torch.full((prompts,), self.max_tokens)
        limits = longest if ends is None else torch.minimum(longest, torch.tensor(ends))
        return limits.repeat_interleave(samples)

    def _read(
        self, prompts: Sequence[Sequence[int]], samples: int, rows: Tensor, tokens: Tensor, lengths: Tensor
    ) -> Reading:
        """The model's state before the next token of `rows`; what is already written is read under today's weights."""
        if not lengths.any():
            return read(self.model, prompts, self.pad_id, samples)
        begun = [[*prompts[row // samples], *tokens[row, : lengths[row]].tolist()] for row in rows.tolist()]
        return read(self.model, begun, self.pad_id, 1)


def begun_pages(shape: tuple[int, ...], begun: Rollouts | None) -> Iterator[Tensor]:
    """Tokens, log-probabilities, mask and versions [B, T], with what has been drawn before in its place."""
    kinds = {"tokens": torch.int64, "behavior_logprobs": torch.float32, "mask": torch.bool, "versions": torch.int32}
    for name, kind in kinds.items():
        page = torch.zeros(shape, dtype=kind)
        if begun is not None:
            page[:, : begun.tokens.shape[1]] = getattr(begun, name)
        yield page


def _normals(noise: Noise, rows: Tensor, tokens: Tensor) -> Callable[[int], Tensor]:
    return lambda size: torch.from_numpy(noise.normals(rows.tolist(), tokens.tolist(), size))


def _no_normals(size: int) -> Tensor:
    raise AssertionError("noise on the logits comes from the host: the static loop cannot have it")


class _Decoder:
    """The model's state while responses grow: cache, padding and the logits of the next token for each row."""

    def __init__(self, model: PreTrainedModel, reading: Reading):
        self.model, self.cache, self.attention = model, reading.cache, reading.attention
        self.logits = reading.logits.repeat_interleave(reading.samples, 0)  # [rows, V]
        self.cache.batch_repeat_interleave(reading.samples)
        if self.attention is not None:
            self.attention = self.attention.repeat_interleave(reading.samples, 0)  # [rows, S]

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.cache.batch_select_indices(rows)
        if self.attention is not None:
            self.attention = self.attention[rows]

    def advance(self, token: Tensor) -> None:
        """Append one token to every row."""
        if self.attention is not None:
            self.attention = pad(self.attention, (0, 1), value=1)
        where = positions(self.attention)
        where = None if where is None else where[:, -1:]
        self.logits = next_logits(self.model, token[:, None], self.attention, where, self.cache)
