"""What only a GPU can show: `make gpu`. Skipped where there is none."""

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    pytest.skip("no GPU here: its tests are skipped", allow_module_level=True)

from lagbench.harness.learn.forward import response_logprobs
from lagbench.harness.learn.sequences import sequences
from lagbench.harness.models import locate
from lagbench.harness.models.load import default_device, load_model, load_tokenizer
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.rollout import decoding, static_decoding
from lagbench.harness.rollout.mismatch import Mismatch
from lagbench.harness.rollout.stopping import StopStrings
from lagbench.harness.rollout.torch_sampler import TorchSampler
from lagbench.harness.types import Rollouts

DEVICE = default_device()
TOKENIZER = load_tokenizer(locate("tiny"))
STOP, PAD = TOKENIZER.eos_token_id, TOKENIZER.pad_token_id
MIXED = [TOKENIZER(text).input_ids for text in ("3+5-2=", "7-9=", "4+4+4+4-1=", "0-0-9=")]
STRINGS = StopStrings((";5#", "-9", ";1"), TOKENIZER)
NOISE = Noise(TRAINING, 5, 2, (0, 1, 2, 3), 64)
SMALL = ("prompts_per_update=4", "responses_per_prompt=4", "learning_rate=1e-3", "eval_problems=16", "eval_samples=4")


@pytest.fixture
def model():
    return load_model(locate("tiny"), DEVICE)


def sampler(model, **changes: object) -> TorchSampler:
    return replace(TorchSampler(model, lambda: 7, (STOP,), PAD, 16, 0.9, stops=STRINGS), **changes)


@contextmanager
def patched(**names: object) -> Iterator[None]:
    """Other functions in static_decoding."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setattr(static_decoding, name, value)
        yield


def without_graph(step, _device) -> Iterator[None]:
    while True:
        step()
        yield


def in_flight(model) -> list[Rollouts]:
    """Responses begun by one version and ended by another."""
    first = sampler(model).sample(MIXED, NOISE, ends=[5, 3, 7, 16])
    return [first, replace(sampler(model), version=lambda: 9).sample(MIXED, NOISE, begun=first)]


def test_a_gpu_decodes_with_a_graph(model) -> None:
    assert static_decoding.fits(model, Mismatch()) and static_decoding.fits(model, Mismatch(top_p=0.8))
    assert not static_decoding.fits(model, Mismatch(logit_noise=0.1))


def test_the_graph_changes_nothing(model) -> None:
    recorded = in_flight(model)
    with patched(repeated=without_graph):
        plain = in_flight(model)
    for a, b in zip(recorded, plain, strict=True):
        for name in ("tokens", "mask", "behavior_logprobs", "versions", "stopped"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_fp32_responses_are_those_of_the_dynamic_loop(model, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (decoding, static_decoding):
        monkeypatch.setattr(module, "precision", lambda _: nullcontext())
    recorded = in_flight(model)
    with patched(fits=lambda *_: False):
        dynamic = in_flight(model)
    for a, b in zip(recorded, dynamic, strict=True):
        for name in ("tokens", "mask", "versions", "stopped"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name
        torch.testing.assert_close(a.behavior_logprobs, b.behavior_logprobs, rtol=0, atol=1e-4)


def test_bf16_responses_are_those_of_the_dynamic_loop_within_rounding(model) -> None:
    recorded = sampler(model).sample(MIXED, NOISE)
    with patched(fits=lambda *_: False):
        dynamic = sampler(model).sample(MIXED, NOISE)
    width = min(recorded.tokens.shape[1], dynamic.tokens.shape[1])
    same = (recorded.tokens[:, :width] == dynamic.tokens[:, :width]).all(1)
    assert same.float().mean() > 0.9
    distance = (recorded.behavior_logprobs[same, :width] - dynamic.behavior_logprobs[same, :width]).abs()
    assert distance.max() < 0.1 and distance.mean() < 0.01


def test_the_learner_agrees_with_the_sampler_after_an_update_in_place(model) -> None:
    for _ in range(2):
        rollouts = sampler(model).sample(MIXED, NOISE)
        with torch.no_grad():
            logprobs, _ = response_logprobs(model, sequences(rollouts, PAD, DEVICE), 0.9)
            distance = (logprobs.cpu() - rollouts.behavior_logprobs)[rollouts.mask].abs()
            assert distance.mean() < 0.01
            for weight in model.parameters():
                weight.mul_(0.9)


def test_the_host_does_not_wait_for_tokens(model) -> None:
    def waits(tokens: int) -> int:
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                rollouts = sampler(model, max_tokens=tokens, stop_ids=(), stops=None).sample(MIXED, NOISE)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert rollouts.mask.shape[1] == tokens
        return sum("synchroniz" in str(warning.message) for warning in seen)

    waits(4)  # libraries start
    assert waits(static_decoding.LOOK + 1) == waits(4)
    with patched(fits=lambda *_: False):
        assert waits(24) >= waits(4) + 20  # the dynamic loop does, and is seen to


def test_no_memory_is_held_between_calls(model) -> None:
    sampler(model).sample(MIXED, NOISE)
    held = torch.cuda.memory_allocated()
    for _ in range(5):
        sampler(model).sample(MIXED, NOISE)
    assert torch.cuda.memory_allocated() == held


def test_a_suite_trains_and_its_gates_are_open(lagbench, tmp_path: Path) -> None:
    ran = lagbench("run", "quick", "objectives=grpo", "lags=0,in_flight:2", "updates=4", *SMALL, "--results", "out")
    assert ran.returncode == 0, ran.stderr
    gates = json.loads((tmp_path / "out" / "gates.json").read_text())["gates"]
    assert {gate["name"]: gate["passed"] for gate in gates} == {"lag-0 parity": True, "determinism": True}, gates
    cells = [path.parent for path in (tmp_path / "out").glob("*/result.json")]
    assert len(cells) == 3  # two lags and the base model
    for lines in (tmp_path / "out").glob("*/metrics.jsonl"):
        rows = [json.loads(line) for line in lines.read_text().splitlines()]
        assert len(rows) == 4 and all(math.isfinite(row["gradient_norm"]) for row in rows)
    environments = [json.loads((cell / "environment.json").read_text()) for cell in cells]
    assert {environment["gpu"] for environment in environments} == {torch.cuda.get_device_name()}
