"""Sampling with the learner's own model: batched, KV cache, the prompt computed once per group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from ..models.load import precision
from ..noise import Noise
from ..types import NonFinite, Rollouts
from .padding import left_pad, positions


@dataclass(frozen=True)
class TorchSampler:
    """Draws from `model` as it is at the time of the call, which `version` names."""

    model: PreTrainedModel
    version: Callable[[], int]
    stop_ids: tuple[int, ...]
    pad_id: int
    max_tokens: int
    temperature: float

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], noise: Noise) -> Rollouts:
        device = self.model.device
        uniforms = torch.from_numpy(noise.uniforms(self.max_tokens)).to(device)  # [B, T] float64
        tokens = torch.zeros(uniforms.shape, dtype=torch.int64, device=device)  # [B, T]
        logprobs = torch.zeros(uniforms.shape, device=device)  # [B, T] float32
        drawn = torch.zeros(uniforms.shape, dtype=torch.bool, device=device)  # [B, T]
        stops = torch.tensor(self.stop_ids, device=device)
        rows = torch.arange(len(uniforms), device=device)  # the responses still being written
        state = _Decoder(self.model, prompts, self.pad_id, noise.samples)
        for t in range(self.max_tokens):
            distribution = torch.log_softmax(state.logits.float() / self.temperature, -1)  # [rows, V]
            token = inverse_cdf(distribution, uniforms[rows, t])  # [rows]
            tokens[rows, t] = token
            logprobs[rows, t] = distribution.gather(-1, token[:, None]).squeeze(-1)
            drawn[rows, t] = True
            going = torch.isin(token, stops, invert=True).nonzero().squeeze(-1)
            if len(going) < len(rows):
                rows, token = rows[going], token[going]
                state.keep(going)
            if len(rows) == 0 or t + 1 == self.max_tokens:
                break
            state.advance(token)
        if not logprobs[drawn].isfinite().all():
            raise NonFinite(f"version {self.version()}: the policy's log-probabilities are not finite")
        width = int(drawn.any(0).sum())
        return Rollouts(
            prompts=tuple(map(tuple, prompts)),
            tokens=tokens[:, :width].cpu(),
            mask=drawn[:, :width].cpu(),
            behavior_logprobs=logprobs[:, :width].cpu(),
            versions=torch.full((len(uniforms), width), self.version(), dtype=torch.int32),
            stopped=torch.isin(tokens, stops).logical_and(drawn).any(1).cpu(),
        )


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
