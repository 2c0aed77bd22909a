"""Disturbances of the sampler by value, and that behavior log-probabilities are those of the disturbed distribution."""

import math
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from scipy import stats

from lagbench.harness import store
from lagbench.harness.config import Run
from lagbench.harness.learn.loop import generate, train
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.rollout.mismatch import Mismatch, make_mismatch, nucleus, spelled
from lagbench.harness.sweep.cell import assemble_exam, assemble_trainer
from lagbench.harness.verify import Verifier

CHAIN = load_task("chain", {})
NAMES = ["logit_noise:0.5", "temperature:1.5", "top_p:0.8", "bf16"]


def trainer_of(run: Run):
    return assemble_trainer(run, CHAIN, Verifier(CHAIN))


def undisturbed(trainer, rollouts) -> torch.Tensor:
    """Logits of the learner's model before every response token: [B, T, V]."""
    prompts = torch.tensor(rollouts.prompts).repeat_interleave(rollouts.group_size, 0)
    with torch.no_grad():
        return trainer.policy.model(torch.cat([prompts, rollouts.tokens], 1)).logits[:, prompts.shape[1] - 1 : -1]


def test_nucleus_by_value() -> None:
    logprobs = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]).log()
    kept = nucleus(logprobs, 0.7).exp()
    torch.testing.assert_close(kept, torch.tensor([[0.0, 0.625, 0.375], [2 / 3, 1 / 3, 0.0]]))
    torch.testing.assert_close(nucleus(logprobs, 0.45).exp()[0], torch.tensor([0.0, 1.0, 0.0]))


def test_logprobs_by_value() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    ones = Mismatch(logit_noise=0.5).logprobs(logits, 2.0, lambda size: torch.tensor([[2.0, 0.0, -2.0]]))
    torch.testing.assert_close(ones, torch.full((1, 3), -math.log(3)))
    hot = Mismatch(temperature=4.0).logprobs(logits, 2.0, lambda size: torch.zeros(1, size))
    torch.testing.assert_close(hot, torch.log_softmax(logits / 4, -1))


@pytest.mark.parametrize("name", ["temperature:1.5", "top_p:0.8"])
def test_behavior_logprobs_are_those_of_the_disturbed_sampler(run, name: str) -> None:
    trainer = trainer_of(run(mismatch=name))
    rollouts = generate(trainer, 0, np.arange(4))
    logits = undisturbed(trainer, rollouts)
    hot, cut = torch.log_softmax(logits / 1.5, -1), nucleus(logits.log_softmax(-1), 0.8)
    expected = hot if name == "temperature:1.5" else cut
    chosen = expected.gather(-1, rollouts.tokens[..., None])[..., 0]
    mask = rollouts.mask
    torch.testing.assert_close(rollouts.behavior_logprobs[mask], chosen[mask], rtol=0, atol=2e-5)
    assert not torch.allclose(chosen[mask], logits.log_softmax(-1).gather(-1, rollouts.tokens[..., None])[..., 0][mask])


def test_logit_noise_is_that_of_its_address(run) -> None:
    trainer = trainer_of(run(mismatch="logit_noise:0.5", seed=3))
    rollouts = generate(trainer, 2, np.array([1, 3]))
    logits = undisturbed(trainer, rollouts)
    noise = Noise(TRAINING, 3, 2, (1, 3), 4)
    for row, token in ((0, 0), (5, 1), (7, 2)):
        normals = torch.from_numpy(noise.normals([row], [token], logits.shape[-1])[0])
        expected = (logits[row, token].double() + 0.5 * normals).log_softmax(-1)[rollouts.tokens[row, token]]
        assert rollouts.behavior_logprobs[row, token].item() == pytest.approx(expected.item(), abs=3e-5)


def test_normals_are_standard_normal_and_independent() -> None:
    drawn = Noise(TRAINING, 0, 0, (0, 1), 50).normals(list(range(100)), [0, 1] * 50, 40)
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-3
    assert len(np.unique(drawn)) == drawn.size
    again = Noise(TRAINING, 0, 0, (1,), 50).normals([49], [1], 40)
    assert (again[0] == drawn[99]).all()


def test_bf16_is_close_to_the_learner_and_follows_its_updates(run) -> None:
    trainer = trainer_of(run(mismatch="bf16"))
    first = generate(trainer, 0, np.arange(4))
    chosen = undisturbed(trainer, first).log_softmax(-1).gather(-1, first.tokens[..., None])[..., 0]
    gap = (chosen - first.behavior_logprobs)[first.mask].abs()
    assert 1e-4 < gap.mean() < 0.05
    with torch.no_grad():
        for value in trainer.policy.model.parameters():
            value.mul_(0.5)
    second = generate(trainer, 0, np.arange(4))
    chosen = undisturbed(trainer, second).log_softmax(-1).gather(-1, second.tokens[..., None])[..., 0]
    assert (chosen - second.behavior_logprobs)[second.mask].abs().mean() < 0.05
    assert not torch.equal(first.tokens[:, :2], second.tokens[:, :2])


@pytest.mark.parametrize("name", NAMES)
def test_mismatch_separates_policies_at_lag_0_and_not_the_evaluation(run, tmp_path, name: str) -> None:
    trainer = trainer_of(run(mismatch=name, updates=2))
    rows = list(train(trainer, OBJECTIVES.get("grpo"), tmp_path))
    assert all(row["lag_max"] == 0 and row["kl_k3"] > 1e-7 for row in rows)
    clean = tmp_path / "clean"
    clean.mkdir()
    assert all(row["kl_k3"] < 1e-9 for row in train(trainer_of(run(updates=2)), OBJECTIVES.get("grpo"), clean))
    with ExitStack() as held:
        exam = assemble_exam(trainer, "chain", CHAIN, held)
    assert exam.sampler.mismatch == Mismatch() and trainer.sampler != exam.sampler
    prompts = [store.read_lines(folder / store.METRICS)[0]["prompts"] for folder in (tmp_path, clean)]
    assert prompts[0] == prompts[1]


def test_in_flight_draws_the_same_disturbance_after_a_switch(run) -> None:
    """A response that is stopped and continued under unchanged weights is the one that was never stopped."""
    trainer = trainer_of(run(mismatch="logit_noise:0.5"))
    groups = np.arange(4)
    whole = generate(trainer, 0, groups)
    begun = generate(trainer, 0, groups, np.array([3, 1, 2, 4]))
    assert begun.mask.sum(1).view(4, 4).max(1).values.tolist() == [3, 1, 2, 4]
    continued = generate(trainer, 0, groups, np.full(4, 100), begun)
    assert torch.equal(continued.tokens, whole.tokens) and torch.equal(continued.mask, whole.mask)
    torch.testing.assert_close(continued.behavior_logprobs, whole.behavior_logprobs, rtol=0, atol=5e-5)


def test_none_is_nothing() -> None:
    assert make_mismatch("none") == Mismatch()
    assert make_mismatch("top_p:0.9") == Mismatch(top_p=0.9) and make_mismatch("bf16").bf16


def test_one_way_to_write_it() -> None:
    given = ["none", "bf16", "top_p:0.90", "temperature:1.0", "logit_noise:1e-1"]
    assert [spelled(text) for text in given] == ["none", "bf16", "top_p:0.9", "temperature:1", "logit_noise:0.1"]
