"""Sampling with the learner's own model: batched, KV cache, the prompt computed once per group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from ..models.load import precision
from ..noise import Noise
from ..types import NonFinite, Rollouts
from .mismatch import Mismatch
from .padding import left_pad, positions
from .stopping import StopStrings

NO_DISTURBANCE = Mismatch()


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
        stops = torch.tensor(self.stop_ids, device=device)
        tokens, logprobs, drawn, versions = (value.to(device) for value in self._pages(uniforms.shape, begun))  # [B, T]
        lengths = drawn.sum(1)  # [B]
        stopped = torch.zeros_like(lengths, dtype=torch.bool) if begun is None else begun.stopped.to(device)
        rows = (~stopped & (lengths < limits)).nonzero().squeeze(-1)  # the responses still being written
        if len(rows):
            state = self._begin(prompts, noise.samples, rows, tokens, lengths)
        t = lengths[rows]  # the token that each of them gets next
        while len(rows):
            distribution = self.mismatch.logprobs(state.logits.float(), self.temperature, _normals(noise, rows, t))
            token = inverse_cdf(distribution, uniforms[rows, t])  # [rows]
            tokens[rows, t] = token
            logprobs[rows, t] = distribution.gather(-1, token[:, None]).squeeze(-1)
            drawn[rows, t] = True
            versions[rows, t] = self.version()
            ended = torch.isin(token, stops)
            if self.stops is not None:
                ended |= self.stops.ended(tokens, rows, t)
            stopped[rows] = ended
            t = t + 1
            going = (~ended & (t < limits[rows])).nonzero().squeeze(-1)
            if 0 < len(going) < len(rows):
                state.keep(going)
            rows, token, t = rows[going], token[going], t[going]
            if len(rows):
                state.advance(token)
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

    def _limits(self, prompts: int, samples: int, ends: Sequence[int] | None) -> Tensor:
        """Tokens that each response may have after this call: [B]."""
        longest = torch.full((prompts,), self.max_tokens)
        limits = longest if ends is None else torch.minimum(longest, torch.tensor(ends))
        return limits.repeat_interleave(samples)

    def _pages(self, shape: torch.Size, begun: Rollouts | None) -> Iterator[Tensor]:
        """Tokens, log-probabilities, mask and versions [B, T], with what has been drawn before in its place."""
        kinds = {"tokens": torch.int64, "behavior_logprobs": torch.float32, "mask": torch.bool, "versions": torch.int32}
        for name, kind in kinds.items():
            page = torch.zeros(shape, dtype=kind)
            if begun is not None:
                page[:, : begun.tokens.shape[1]] = getattr(begun, name)
            yield page

    def _begin(
        self, prompts: Sequence[Sequence[int]], samples: int, rows: Tensor, tokens: Tensor, lengths: Tensor
    ) -> _Decoder:
        """The model's state before the next token of `rows`; what is already written is read under today's weights."""
        if not lengths.any():
            return _Decoder(self.model, prompts, self.pad_id, samples)
        read = [[*prompts[row // samples], *tokens[row, : lengths[row]].tolist()] for row in rows.tolist()]
        return _Decoder(self.model, read, self.pad_id, 1)


def _normals(noise: Noise, rows: Tensor, tokens: Tensor) -> Callable[[int], Tensor]:
    return lambda size: torch.from_numpy(noise.normals(rows.tolist(), tokens.tolist(), size))


def inverse_cdf(logprobs: Tensor, uniform: Tensor) -> Tensor:
    """The token whose slice of the cumulative distribution holds `uniform`: [N] from [N, V] and [N]. In float64."""
    cumulative = logprobs.double().exp().cumsum(-1)  # [N, V]
    point = uniform[:, None] * cumulative[:, -1:]  # [N, 1]; rounding may leave the total a little off 1
    return torch.searchsorted(cumulative, point, right=True).squeeze(-1).clamp(max=logprobs.shape[-1] - 1)


class _Decoder:
    """The model's state while responses grow: cache, padding and the logits of the next token for each row."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int, samples: int):
        self.model, self.cache = model, DynamicCache(config=model.config)
        ids, attention = left_pad(prompts, pad)
        self.attention = None if attention is None else attention.to(model.device)  # [rows, S]
        self.logits = self._next_logits(ids.to(model.device)).repeat_interleave(samples, 0)  # [rows, V]
        self.cache.batch_repeat_interleave(samples)
        if self.attention is not None:
            self.attention = self.attention.repeat_interleave(samples, 0)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.cache.batch_select_indices(rows)
        if self.attention is not None:
            self.attention = self.attention[rows]

    def advance(self, token: Tensor) -> None:
        """Append one token to every row."""
        if self.attention is not None:
            self.attention = torch.nn.functional.pad(self.attention, (0, 1), value=1)
        self.logits = self._next_logits(token[:, None])

    def _next_logits(self, ids: Tensor) -> Tensor:
        where = positions(self.attention)  # [rows, S]
        with precision(self.model.device):
            output = self.model(
                ids,
                attention_mask=self.attention,
                position_ids=None if where is None else where[:, -ids.shape[1] :],
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return output.logits[:, -1]
