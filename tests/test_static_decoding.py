"""The static loop of the torch sampler, which a GPU records, against the dynamic one; here both run on the CPU.

What no CPU can show is in tests/gpu/. What it can: that a step is a fixed sequence of kernels on fixed memory, which
`replaying` proves by doing what a CUDA graph does.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.rollout import decoding, static_decoding
from lagbench.harness.rollout.mismatch import Mismatch
from lagbench.harness.rollout.stopping import StopStrings
from lagbench.harness.rollout.torch_sampler import TorchSampler
from lagbench.harness.types import Rollouts

TOKENIZER = load_tokenizer(locate("tiny"))
STOP, PAD = TOKENIZER.eos_token_id, TOKENIZER.pad_token_id
MIXED = [TOKENIZER(text).input_ids for text in ("3+5-2=", "7-9=", "4+4+4+4-1=", "0-0-9=")]
EVEN = [TOKENIZER(text).input_ids for text in ("3+5=", "7-9=", "4+4=", "0-9=")]
STRINGS = StopStrings((";5#", "-9", ";1"), TOKENIZER)
NOISE = Noise(TRAINING, 5, 2, (0, 1, 2, 3), 8)
SMALL = {"vocab_size": len(TOKENIZER), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return load_model(locate("tiny"), torch.device("cpu"))


def sampler(model, **changes: object) -> TorchSampler:
    return replace(TorchSampler(model, lambda: 7, (STOP,), PAD, 16, 0.9), **changes)


@contextmanager
def static(look: int = 3) -> Iterator[None]:
    """The static loop, on whatever device and for whatever model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(static_decoding, "fits", lambda *_: True)
        patch.setattr(static_decoding, "LOOK", look)
        yield


def assert_same(found: Rollouts, expected: Rollouts, atol: float = 1e-5) -> None:
    for name in ("tokens", "mask", "versions", "stopped"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    torch.testing.assert_close(found.behavior_logprobs, expected.behavior_logprobs, rtol=0, atol=atol)


@pytest.mark.parametrize("prompts", [MIXED, EVEN], ids=["ragged", "even"])
@pytest.mark.parametrize(("stops", "look"), [(None, 3), (STRINGS, 1), (STRINGS, 3), (STRINGS, 32)])
def test_equals_the_dynamic_loop(model, prompts, stops, look: int) -> None:
    expected = sampler(model, stops=stops).sample(prompts, NOISE)
    with static(look):
        assert_same(sampler(model, stops=stops).sample(prompts, NOISE), expected)
    assert len(set(expected.mask.sum(1).tolist())) > 3
    if stops:  # some end at a string and would have gone on, or this shows little
        assert (expected.mask.sum(1) < sampler(model).sample(prompts, NOISE).mask.sum(1)).sum() > 3


@pytest.mark.parametrize("changes", [{"mismatch": Mismatch(top_p=0.8)}, {"max_tokens": 1}, {"stop_ids": ()}], ids=str)
def test_equals_the_dynamic_loop_for_other_settings(model, changes) -> None:
    expected = sampler(model, **changes).sample(MIXED, NOISE)
    with static():
        assert_same(sampler(model, **changes).sample(MIXED, NOISE), expected)


def test_generation_in_flight_equals_the_dynamic_loop(model) -> None:
    """Responses of different lengths, ended or not, are continued by a later version, twice."""

    def generate() -> list[Rollouts]:
        first = sampler(model, stops=STRINGS).sample(MIXED, NOISE, ends=[5, 3, 7, 16])
        later = replace(sampler(model, stops=STRINGS), version=lambda: 9)
        second = later.sample(MIXED, NOISE, ends=[9, 4, 16, 16], begun=first)
        return [first, second, later.sample(MIXED, NOISE, begun=second)]

    expected = generate()
    with static():
        for found, wanted in zip(generate(), expected, strict=True):
            assert_same(found, wanted)
    assert 0 < expected[0].stopped.sum() < expected[1].stopped.sum() < expected[2].stopped.sum()
    assert set(expected[2].versions[expected[2].mask].tolist()) == {7, 9}


def small(kind: type, config: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return kind(config).eval()


OTHERS = {
    "grouped queries, scaled rotation": lambda: small(
        LlamaForCausalLM,
        LlamaConfig(
            **SMALL, num_attention_heads=4, num_key_value_heads=2, rope_parameters=LLAMA3, initializer_range=0.5
        ),
    ),
    "learned positions, tied head": lambda: small(
        GPT2LMHeadModel,
        GPT2Config(vocab_size=len(TOKENIZER), n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("build", OTHERS.values(), ids=list(OTHERS))
def test_other_architectures(build: Callable[[], torch.nn.Module]) -> None:
    other = build()
    assert static_decoding.recordable(other)
    expected = sampler(other).sample(MIXED, NOISE)
    with static():
        assert_same(sampler(other).sample(MIXED, NOISE), expected)


class Recorder(TorchDispatchMode):
    """All kernels that run, with the memory that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_dispatch__(self, kernel, types, args=(), kwargs=None):
        result = kernel(*args, **(kwargs or {}))
        self.calls.append((kernel, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """Every kernel once more on the same memory: what a CUDA graph does, and all that it does."""
        for kernel, args, kwargs, result in self.calls:
            for kept, again in zip(tree_leaves(result), tree_leaves(kernel(*args, **kwargs)), strict=True):
                if isinstance(kept, Tensor) and kept.data_ptr() != again.data_ptr():
                    kept.copy_(again)


def replaying(step: Callable[[], object], device: torch.device) -> Iterator[None]:
    """As `repeated` on a GPU: the first step warms up, the second is recorded (and runs), the rest are replayed."""
    step()
    yield
    recorder = Recorder()
    with recorder:
        step()
    yield
    while True:
        recorder.replay()
        yield


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("prompts", [MIXED, EVEN], ids=["ragged", "even"])
def test_a_recorded_step_can_be_replayed(model, prompts, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if bf16:
        autocast(monkeypatch)
    with static():
        expected = sampler(model, stops=STRINGS).sample(prompts, NOISE)
        monkeypatch.setattr(static_decoding, "repeated", replaying)
        assert_same(sampler(model, stops=STRINGS).sample(prompts, NOISE), expected, atol=0)
    assert expected.mask.shape[1] > 6


class Waits(TorchDispatchMode):
    """Counts what makes a host wait for a device, or moves a value to it."""

    aten = torch.ops.aten
    WAITING = (aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.lift_fresh, aten._unique2)

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, kernel, types, args=(), kwargs=None):
        by_mask = kernel.overloadpacket in (self.aten.index, self.aten.index_put, self.aten.index_put_) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.found[str(kernel)] += kernel.overloadpacket in self.WAITING or by_mask
        return kernel(*args, **(kwargs or {}))


def waits(model, max_tokens: int) -> int:
    """Times that one call of the sampler waits, end of sequence left out so that all responses reach the limit."""
    with Waits() as waiting:
        rollouts = sampler(model, max_tokens=max_tokens, stop_ids=()).sample(MIXED, NOISE)
    assert rollouts.mask.all() and rollouts.mask.shape[1] == max_tokens
    return sum(waiting.found.values())


def test_the_host_does_not_wait_for_tokens(model) -> None:
    assert waits(model, 9) >= waits(model, 5) + 4  # the dynamic loop does, and is seen to
    with static(look=8):
        once = waits(model, 9)
        assert waits(model, 3) == once
        per_look = waits(model, 10) - once
        assert 0 < per_look <= 2
        assert waits(model, 25) == once + 2 * per_look


def autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """bf16 autocast as on a GPU."""
    for module in (decoding, static_decoding):
        monkeypatch.setattr(module, "precision", lambda _: torch.autocast("cpu", torch.bfloat16))


def test_weights_rounded_once_a_call_are_what_autocast_rounds_them_to(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit; and the loops agree within bf16, the learner's precision on a GPU."""
    autocast(monkeypatch)
    dynamic = sampler(model).sample(MIXED, NOISE)
    with static():
        once = sampler(model).sample(MIXED, NOISE)
        monkeypatch.setattr(static_decoding, "rounded_weights", lambda *_: {})
        assert_same(sampler(model).sample(MIXED, NOISE), once, atol=0)
    width = min(once.tokens.shape[1], dynamic.tokens.shape[1])
    same = (once.tokens[:, :width] == dynamic.tokens[:, :width]).all(1)
    assert same.float().mean() > 0.9
    distance = (once.behavior_logprobs[same, :width] - dynamic.behavior_logprobs[same, :width]).abs()
    assert 0 < distance.max() < 0.1


def test_what_is_rounded(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear layers and the cache; not the embeddings, tied to a head or not. Without autocast nothing is."""
    assert static_decoding.rounding(model.device) is None and static_decoding.rounded_weights(model, None) == {}
    autocast(monkeypatch)
    assert static_decoding.rounding(model.device) == torch.bfloat16
    config = LlamaConfig(**SMALL, num_attention_heads=2, tie_word_embeddings=True, attention_bias=True)
    tied = small(LlamaForCausalLM, config)
    rounded = static_decoding.rounded_weights(tied, torch.bfloat16)
    assert {"lm_head.weight", "model.layers.1.self_attn.q_proj.bias"} < set(rounded)
    assert not any("norm" in name or "embed" in name for name in rounded)
    seen = []
    tied.model.embed_tokens.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    reading = decoding.read(tied, MIXED, PAD, 2)
    forward = static_decoding.Forward.after(reading, 9, tied)
    forward(torch.zeros(8, dtype=torch.int64))
    assert seen == [torch.float32, torch.float32]
    assert {layer.keys.dtype for layer in forward.cache.layers} == {torch.bfloat16}
    assert [tuple(layer.keys.shape) for layer in forward.cache.layers] == [(8, 2, 64, 16)] * 2


def test_weights_of_the_call_are_used(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from one call to the next: after an update in place the new weights draw, rounded or not."""
    changed = copy.deepcopy(model)
    autocast(monkeypatch)
    with static():
        before = sampler(changed).sample(MIXED, NOISE)
        with torch.no_grad():
            for weight in changed.parameters():
                weight.mul_(0.9)
        after = sampler(changed).sample(MIXED, NOISE)
        assert_same(before, sampler(model).sample(MIXED, NOISE), atol=0)
        assert_same(after, sampler(copy.deepcopy(changed)).sample(MIXED, NOISE), atol=0)
    assert not torch.equal(after.behavior_logprobs[:, 0], before.behavior_logprobs[:, 0])


def test_what_can_be_recorded(model) -> None:
    assert static_decoding.recordable(model) and not static_decoding.fits(model, Mismatch())
    with torch.device("meta"):
        sliding = MistralForCausalLM(
            MistralConfig(**SMALL, num_attention_heads=2, num_key_value_heads=2, sliding_window=8)
        )
        dynamic = LlamaForCausalLM(
            LlamaConfig(
                **SMALL,
                num_attention_heads=2,
                rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
            )
        )
    assert not static_decoding.recordable(sliding) and not static_decoding.recordable(dynamic)
