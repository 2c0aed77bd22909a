"""Decoding in fixed shapes, so that a GPU repeats one recorded step and the host decides nothing per token.

The torch sampler's other loop asks after every token which responses go on. On a CPU that is cheap and saves work; on a
GPU each question makes the host wait, and each small kernel costs more to launch than to run. Here every row is
computed to the end in tensors that stay where they are. A row that has ended goes on and writes behind its end, where
nothing counts. The host looks only every `LOOK` tokens: whether any response goes on, and whether one holds a stop
string, whose surplus is then taken back. The responses are those of the other loop.

A graph lives as long as one call of the sampler. The weights cannot change in between, no graph outlives what it
refers to, and the memory of its cache is free again when the learner needs it.

Under autocast every linear layer rounds its fp32 weight to bf16 whenever it is used. Decoding is bound by reading
weights, and rounding them once per token would move four times as many bytes (read 4, write 2, read 2, instead of
read 2). So they are rounded once per call and stand in for the weights while the step is recorded. The arithmetic is
autocast's own, to the bit. autocast's cache of rounded weights could not do that: it ends with the context of each
forward pass, and a context around the recording would leave copies in the graph that are never made again.

The CUDA part is `repeated`; all the rest runs on a CPU as well, where the tests compare the two loops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import pad
from transformers import Cache, PreTrainedModel, StaticCache
from transformers.cache_utils import DynamicLayer, StaticLayer

from ..models.load import precision
from .decoding import Reading, inverse_cdf, next_logits
from .mismatch import Mismatch
from .padding import positions
from .stopping import StopStrings

LOOK = 32  # tokens between two looks of the host
MULTIPLE = 64  # columns of the cache; attention kernels read aligned ones faster


def fits(model: PreTrainedModel, mismatch: Mismatch) -> bool:
    """Whether responses are drawn by this loop: on a GPU, where a step can be recorded.

    It cannot where the model decides by values (transformers marks those that do not), where attention slides or
    recurs, where rotary frequencies follow the longest position, or where noise on the logits comes from the host.
    """
    return model.device.type == "cuda" and not mismatch.logit_noise and recordable(model)


def recordable(model: PreTrainedModel) -> bool:
    """Whether one step of the model is the same sequence of kernels for every token."""
    config = model.config.get_text_config()
    plain = all(type(layer) is StaticLayer for layer in StaticCache(config, max_cache_len=1).layers)
    rotary = str(getattr(config, "rope_parameters", None))
    return model._can_compile_fullgraph and plain and "dynamic" not in rotary and "longrope" not in rotary


@dataclass
class Draft:
    """N responses while they are written. What is in a row behind its length means nothing.

    The pages have a column more than a response has tokens, so that there is one behind every end.
    """

    tokens: Tensor  # [N, T + 1]
    logprobs: Tensor  # [N, T + 1]
    uniforms: Tensor  # [N, T + 1] float64
    limits: Tensor  # [N] tokens that each may have
    lengths: Tensor  # [N] tokens that each has
    stops: Tensor  # token ids that end a response
    distribution: Callable[[Tensor], Tensor]  # log-probabilities from logits, [N, V]
    going: Tensor = field(init=False)  # [N] bool
    stopped: Tensor = field(init=False)  # [N] bool

    def __post_init__(self) -> None:
        self.going = self.lengths < self.limits
        self.stopped = torch.zeros_like(self.going)

    def draw(self, logits: Tensor) -> Tensor:
        """The next token of every row [N], from logits [N, V]; in place, and nothing here asks for a value."""
        distribution = self.distribution(logits.float())
        at = self.lengths[:, None]  # [N, 1]; of a response that has ended the column behind it, which does not count
        token = inverse_cdf(distribution, self.uniforms.gather(1, at).squeeze(1))
        self.tokens.scatter_(1, at, token[:, None])
        self.logprobs.scatter_(1, at, distribution.gather(1, token[:, None]))
        self.lengths.add_(self.going)
        ended = self.going & (token[:, None] == self.stops).any(1)
        self.stopped.logical_or_(ended)
        self.going.logical_and_(~ended & (self.lengths < self.limits))
        return token

    def end(self, lengths: Tensor, found: Tensor) -> None:
        """Take back what is behind a stop string: `found` [N] rows end at `lengths` [N]."""
        self.lengths.copy_(lengths)
        self.stopped.logical_or_(found.to(self.going.device))
        self.going.logical_and_(~found.to(self.going.device))


@dataclass
class Reader:
    """Looks for stop strings, on the host, in what has been written since it last looked."""

    strings: StopStrings
    seen: Tensor  # [N] tokens of each response, on the CPU

    def look(self, draft: Draft) -> None:
        """End the responses that hold a string, at the token that completes it."""
        tokens, lengths = draft.tokens.cpu(), draft.lengths.cpu().clone()
        found = torch.zeros_like(lengths, dtype=torch.bool)
        for column in range(int(self.seen.min()), int(lengths.max())):
            rows = ((self.seen <= column) & (column < lengths)).nonzero().squeeze(-1)
            ended = rows[self.strings.ended(tokens, rows, torch.full_like(rows, column))]
            lengths[ended], found[ended] = column + 1, True
        if found.any():
            draft.end(lengths, found)
        self.seen = lengths


def write(model: PreTrainedModel, reading: Reading, draft: Draft, strings: StopStrings | None) -> None:
    """Write all responses of `draft`, some of which go on, to their ends."""
    reader = Reader(strings, draft.lengths.cpu().clone()) if strings and strings.possible else None
    left = int((draft.limits - draft.lengths).max()) - 1  # tokens after the first
    token = draft.draw(reading.logits.repeat_interleave(reading.samples, 0))  # [N]
    forward = Forward.after(reading, left, model)
    steps = repeated(lambda: token.copy_(draft.draw(forward(token))), model.device)
    while True:
        if reader:
            reader.look(draft)
        if left <= 0 or not draft.going.any():
            return
        for _ in range(min(LOOK, left)):
            next(steps)
        left -= LOOK


@dataclass(frozen=True)
class Forward:
    """A model that takes one token a call for every row; its state stays in the same memory."""

    model: Callable[..., Any]
    cache: Cache
    attention: Tensor | None  # [N, columns], those not yet written included: the model is causal
    position: Tensor  # [N, 1] of the next token

    @classmethod
    def after(cls, reading: Reading, tokens: int, model: PreTrainedModel) -> Forward:
        """Room for `tokens` more after what has been read."""
        width = reading.cache.get_seq_length()
        columns = -(-(width + tokens) // MULTIPLE) * MULTIPLE
        samples, attention, where = reading.samples, reading.attention, positions(reading.attention)
        rows, dtype = len(reading.logits) * samples, rounding(model.device)
        return cls(
            model=partial(_call, model, rounded_weights(model, dtype)),
            cache=Cache(layers=[_Layer(layer, samples, columns, dtype) for layer in reading.cache.layers]),
            attention=None if attention is None else _page(attention, samples, columns, 1),
            position=torch.full((rows, 1), width, device=model.device)
            if where is None
            else where[:, -1:].repeat_interleave(samples, 0) + 1,
        )

    def __call__(self, token: Tensor) -> Tensor:
        logits = next_logits(self.model, token[:, None], self.attention, self.position, self.cache)
        self.position.add_(1)
        return logits


def rounding(device: torch.device) -> torch.dtype | None:
    """What autocast rounds the operands of matrix products to; None where forward passes are not rounded."""
    with precision(device):
        return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None


def rounded_weights(model: PreTrainedModel, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Parameters of all linear layers in `dtype`, by name; none without one."""
    if dtype is None:
        return {}
    return {
        f"{name}.{parameter}": value.detach().to(dtype)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        for parameter, value in module.named_parameters(recurse=False)
    }


def _call(model: PreTrainedModel, weights: dict[str, Tensor], ids: Tensor, **inputs: Any) -> Any:
    """The model's output under other weights; tied ones stay apart, so that an embedding is not rounded."""
    return functional_call(model, weights, (ids,), inputs, tie_weights=False)


class _Layer(StaticLayer):
    """Keys and values [N, heads, columns, size] with room for what comes, written in place.

    Both in the precision that attention computes in. Under autocast that is bf16, whereas keys that are normalized or
    rotated after their projection arrive in fp32 beside bf16 values, which transformers' own static layer refuses.
    """

    def __init__(self, read: DynamicLayer, samples: int, columns: int, dtype: torch.dtype | None):
        super().__init__(max_cache_len=columns)
        self.dtype, self.device = dtype or read.values.dtype, read.values.device
        self.keys, self.values = (
            _page(states.to(self.dtype).transpose(1, 2), samples, columns, 0).transpose(1, 2).contiguous()
            for states in (read.keys, read.values)
        )
        self.cumulative_length = torch.tensor(read.keys.shape[2], device=self.device)
        self.is_initialized = True

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return super().update(keys.to(self.dtype), values.to(self.dtype))


def _page(value: Tensor, samples: int, columns: int, fill: int) -> Tensor:
    """Every row [R, S, ...] `samples` times, widened to `columns` with `fill`: [N, columns, ...]."""
    around = [0, 0] * (value.dim() - 2) + [0, columns - value.shape[1]]
    return pad(value.repeat_interleave(samples, 0), around, value=fill)


@cache
def recording_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all calls: every stream that multiplies matrices keeps a workspace of cuBLAS."""
    return torch.cuda.Stream(device)


def repeated(step: Callable[[], object], device: torch.device) -> Iterator[None]:
    """`step` once for every `next`; on a GPU recorded at the second time and from then on replayed.

    The first time warms up (libraries make their workspaces, which must not become part of the graph), on a stream of
    its own as recording does. Recording itself runs nothing. Both happen under the caller's `no_grad`.
    """
    if device.type != "cuda":
        while True:
            step()
            yield
    stream = recording_stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream(device).wait_stream(stream)
    yield
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    while True:
        graph.replay()
        yield
