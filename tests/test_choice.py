"""Random numbers for objectives that pick tokens: the run's own, by address, and only for who reads them."""

import dataclasses

import numpy as np
import pytest
import torch

from lagbench import InputError
from lagbench.harness.apply import apply_objective
from lagbench.harness.check import batches
from lagbench.harness.learn.collate import groups_of, uniform_of
from lagbench.harness.learn.loop import Differentiated, differentiate
from lagbench.harness.learn.policy import Policy
from lagbench.harness.learn.sequences import sequences
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.registry import OBJECTIVES
from lagbench.harness.rollout.torch_sampler import TorchSampler
from lagbench.harness.types import Rollouts
from lagbench.objectives.arithmetic import covariance

TOKENIZER = load_tokenizer(locate("tiny"))
OFTEN = {"share": 0.2, "cov_low": 0.0, "cov_high": 1e9}  # so that something is picked from a small batch


@pytest.fixture(scope="module")
def rollouts() -> Rollouts:
    model = load_model(locate("tiny"), torch.device("cpu"))
    sampler = TorchSampler(model, lambda: 0, (TOKENIZER.eos_token_id,), TOKENIZER.pad_token_id, 12, 1.0)
    prompts = [TOKENIZER(text).input_ids for text in ("3+5-2=", "7-9=", "0-0-9=")]
    return sampler.sample(prompts, Noise(TRAINING, 0, 0, (0, 1, 2), 4))


def differentiated(run, objective: str, rollouts: Rollouts, update: int = 3, **changes: object) -> Differentiated:
    """One objective on the rollouts, half of each group's responses being right."""
    options = OBJECTIVES.get(objective).check_options(OFTEN if objective == "clip_cov" else {})
    settings = run(objective=objective, hyperparameters=options, aggregate="token_mean", **changes)
    policy = Policy(load_model(locate("tiny"), torch.device("cpu")), settings)
    forward = policy.forward(sequences(rollouts, TOKENIZER.pad_token_id, policy.device))
    rewards = torch.tensor([1.0, 0.0] * (len(rollouts.tokens) // 2))
    return differentiate(settings, OBJECTIVES.get(objective), update, rollouts, forward, rewards)


def test_numbers_by_value(rollouts: Rollouts) -> None:
    """A Philox stream for each response with this key and counter: published results depend on it."""
    found = uniform_of(rollouts, seed=5, update=9)
    assert found.dtype == torch.float64 and found.shape == rollouts.mask.shape
    for row in range(12):
        philox = np.random.Philox(key=[5, 7], counter=[0, row % 4, row // 4, 9])
        expected = np.random.Generator(philox).random(found.shape[1])
        assert found[row].tolist() == expected.tolist()


def test_numbers_do_not_depend_on_the_longest_response(rollouts: Rollouts) -> None:
    short = dataclasses.replace(rollouts, tokens=rollouts.tokens[:, :2])
    assert torch.equal(uniform_of(short, 0, 1), uniform_of(rollouts, 0, 1)[:, :2])
    sampled = Noise(TRAINING, 0, 1, (0, 1, 2), 4).uniforms(2)
    assert not np.isin(uniform_of(short, 0, 1).numpy(), sampled).any()  # what drew the tokens is not used again


def test_only_who_reads_them_is_given_numbers(run, rollouts: Rollouts) -> None:
    assert differentiated(run, "grpo", rollouts).batch.uniform is None
    given = differentiated(run, "clip_cov", rollouts, seed=7).batch.uniform
    assert torch.equal(given, uniform_of(rollouts, 7, 3))


def test_the_smallest_numbers_pick(run, rollouts: Rollouts) -> None:
    found = differentiated(run, "clip_cov", rollouts)
    batch = found.batch
    candidates = batch.mask & (covariance(batch.logprobs, batch.advantages, batch.mask) > 0)
    count = int(0.2 * int(batch.mask.sum()))
    limit = batch.uniform[candidates].sort().values[count - 1]
    picked = candidates & (batch.uniform <= limit)
    assert 2 <= count == int(picked.sum()) < int(candidates.sum())
    without = batch.mask & (found.gradient == 0)
    assert torch.equal(without, picked)  # at lag 0 nothing else loses its gradient
    assert groups_of(rollouts).unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize("changes", [{"microbatch": 1}, {"microbatch": 5}, {"group_packing": True}])
def test_the_same_tokens_whatever_the_micro_batches(run, rollouts: Rollouts, changes: dict[str, object]) -> None:
    whole, parts = differentiated(run, "clip_cov", rollouts), differentiated(run, "clip_cov", rollouts, **changes)
    assert torch.equal(whole.gradient == 0, parts.gradient == 0)
    torch.testing.assert_close(whole.gradient, parts.gradient, rtol=1e-4, atol=1e-7)


def test_other_tokens_in_another_update_and_for_another_seed(run, rollouts: Rollouts) -> None:
    one = differentiated(run, "clip_cov", rollouts)
    for other in (
        differentiated(run, "clip_cov", rollouts, update=4),
        differentiated(run, "clip_cov", rollouts, seed=1),
    ):
        assert not torch.equal(one.gradient == 0, other.gradient == 0)


def test_a_batch_without_numbers_is_told() -> None:
    batch = dataclasses.replace(batches.off_policy("group_mean"), uniform=None)
    with pytest.raises(InputError, match=r"clip_cov \(lagbench\) reads uniform, which this batch lacks"):
        apply_objective(OBJECTIVES.get("clip_cov"), batch, OFTEN)


def test_numbers_of_another_shape_are_told() -> None:
    with pytest.raises(ValueError, match=r"Batch.uniform has shape \(2, 2\), expected \[B, T\] = \(12, 5\)"):
        dataclasses.replace(batches.off_policy("group_mean"), uniform=torch.zeros(2, 2))
