"""What keeps an engine honest, where no engine is needed to see it: the comparison with the learner, seeds, gates."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from sampler_protocol import MIXED, PAD, STOP, noise

from lagbench.harness import extras
from lagbench.harness.config import load_suite
from lagbench.harness.gate import Gate
from lagbench.harness.learn.agreement import BF16, ROUNDING, ROWS, Agreement, Bound, EngineMismatch, sampled
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model
from lagbench.harness.noise import EVALUATION, TRAINING
from lagbench.harness.rollout.torch_sampler import TorchSampler
from lagbench.harness.rollout.vllm_sampler import seed_of
from lagbench.harness.sweep.expand import check_sampler
from lagbench.harness.sweep.proofs import _gate
from lagbench.harness.types import InputError, Rollouts


@pytest.fixture(scope="module")
def model():
    return load_model(locate("tiny"), torch.device("cpu"))


@pytest.fixture(scope="module")
def drawn(model) -> Rollouts:
    return TorchSampler(model, lambda: 7, (STOP,), PAD, 12, 0.8).sample(MIXED, noise(4, samples=5))


def agreement(model, bound: Bound | None = ROUNDING, version: int = 7) -> Agreement:
    return Agreement(SimpleNamespace(model=model, version=version, device=torch.device("cpu")), PAD, 0.8, bound)


def off(rollouts: Rollouts, nats: float, version: int) -> Rollouts:
    """The same with log-probabilities that are off at every token of a version."""
    return replace(
        rollouts, behavior_logprobs=rollouts.behavior_logprobs + nats * (rollouts.versions == version) * rollouts.mask
    )


def test_gap_by_value(model, drawn: Rollouts) -> None:
    assert agreement(model).measure([drawn])["engine_gap_mean"] < 1e-6
    found = agreement(model, bound=None).measure([off(drawn, -0.25, 7)])
    assert found == {"engine_gap_mean": pytest.approx(0.25, abs=1e-5), "engine_gap_max": pytest.approx(0.25, abs=1e-4)}
    assert agreement(model, version=8).measure([drawn]) == agreement(model).measure([]) == {}


@pytest.mark.parametrize("nats", [1e-4, -3.0, float("nan")])
def test_what_rounding_does_not_explain_ends_a_run_in_float32(model, drawn: Rollouts, nats: float) -> None:
    with pytest.raises(EngineMismatch, match=r"version 7: .* an output head or a prefix cache of an earlier version"):
        agreement(model).measure([off(drawn, nats, 7)])


def test_bfloat16_has_a_bound_of_its_own(model, drawn: Rollouts) -> None:
    """0.1 nats at a temperature of 0.8 are 0.125; few tokens are not judged by it."""
    assert agreement(model, BF16).measure([off(drawn, 0.124, 7)])["engine_gap_mean"] == pytest.approx(0.124, abs=1e-4)
    with pytest.raises(EngineMismatch, match=r"are 0\.13 nats off .* rounding explains 0\.12 at most"):
        agreement(model, BF16).measure([off(drawn, 0.126, 7)])
    few = replace(drawn, versions=drawn.versions.where(torch.arange(drawn.tokens.shape[1]) < 3, 6) * drawn.mask)
    assert agreement(model, BF16).measure([off(few, 5.0, 7)])["engine_gap_mean"] == pytest.approx(5, abs=1e-3)


def test_only_tokens_of_the_current_version_are_compared(model, drawn: Rollouts) -> None:
    """In flight, what an earlier version has begun is that one's."""
    mixed = replace(drawn, versions=drawn.versions.where(torch.arange(drawn.tokens.shape[1]) > 1, 6) * drawn.mask)
    assert agreement(model).measure([off(mixed, 1.0, 6)])["engine_gap_mean"] < 1e-6
    with pytest.raises(EngineMismatch):
        agreement(model).measure([off(mixed, 1.0, 7)])


def test_rows_are_taken_evenly_with_their_own_prompts(drawn: Rollouts) -> None:
    sample = sampled([drawn], 7)
    rows = [0, 2, 5, 8, 10, 13, 16, 19]  # of 20, five for each prompt
    assert len(rows) == ROWS and torch.equal(sample.tokens, drawn.tokens[rows])
    assert sample.prompts == tuple(tuple(MIXED[row // 5]) for row in rows)
    assert (sample.versions[~sample.mask] == -1).all()  # padding is nobody's


def test_seeds_are_of_the_address() -> None:
    seeds = {
        seed_of(purpose, 5, 2, group, *more)
        for purpose in (TRAINING, EVALUATION)
        for group in range(50)
        for more in ((), (1, 3), (1, 4), (2, 3))
    }
    assert len(seeds) == 400 and all(0 <= seed < 2**62 for seed in seeds)


def test_a_gate_that_an_engine_does_not_promise(run) -> None:
    """Tried, and told with what differed; equal is as good as ever, and an error is a failure."""
    tried = _gate("determinism", run(sampler="vllm"), "repeated", lambda: "update 1: nll is 0.5 and 0.6")
    assert str(tried) == (
        "not promised: determinism: sampler=vllm may round differently each time, and did: update 1: nll is 0.5 and 0.6"
    )
    assert str(_gate("determinism", run(sampler="vllm"), "repeated", lambda: "")) == "ok: determinism: repeated"
    assert _gate("determinism", run(), "repeated", lambda: "update 1").passed is False
    assert _gate("determinism", run(sampler="vllm"), "repeated", lambda: 1 // 0).state == "FAILED"
    assert Gate("lag", None, "no finished cell").state == "not run"


def refused(monkeypatch: pytest.MonkeyPatch, *settings: str, gpu: bool = False, there: bool = True) -> str:
    """What is said of a suite with sampler=vllm, where vllm is `there`; nothing where it is not refused."""
    monkeypatch.setattr(extras, "installed", lambda module: there)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    try:
        check_sampler(load_suite("quick", ["sampler=vllm", *settings]))
    except InputError as error:
        return str(error)
    return ""


def test_disturbances_that_would_be_none_or_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, "mismatch=none,bf16,temperature:0.01,top_p:0.9") == ""
    assert refused(monkeypatch, "mismatch=none,temperature:1.5", gpu=True) == ""
    assert "on a GPU the engine is in bfloat16 anyway" in refused(monkeypatch, "mismatch=none,bf16", gpu=True)
    assert "'temperature:0.009': vLLM draws at 0.01 or above" in refused(monkeypatch, "mismatch=temperature:0.009")
    assert "adds no noise to logits" in refused(monkeypatch, "mismatch=logit_noise:0.1", "executor=ray")


def test_the_machine_is_looked_at_where_cells_run_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "needs an extra" in refused(monkeypatch, there=False)
    assert refused(monkeypatch, "executor=ray", there=False) == ""
    assert refused(monkeypatch, "executor=ray", "mismatch=bf16", gpu=True) == ""  # the cell says so, on its machine


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("LAGBENCH_VLLM_GPU_FRACTION", "half", "is not a number above 0, up to 1; change it, or unset it for 0.4"),
        ("LAGBENCH_VLLM_GPU_FRACTION", "40", "is not a number above 0, up to 1; change it, or unset it for 0.4"),
        ("LAGBENCH_VLLM_GPU_FRACTION", "nan", "is not a number above 0, up to 1; change it, or unset it for 0.4"),
        ("VLLM_CPU_KVCACHE_SPACE", "0.5", "is not a whole number of GiB from 1 on; change it, or unset it for 1"),
        ("VLLM_CPU_KVCACHE_SPACE", "0", "is not a whole number of GiB from 1 on; change it, or unset it for 1"),
    ],
)
def test_memory_that_is_no_such_number_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, line: str
) -> None:
    monkeypatch.setenv(name, text)
    assert refused(monkeypatch) == f"{name}={text} {line}"
    monkeypatch.setenv(name, "1")
    assert refused(monkeypatch) == ""
