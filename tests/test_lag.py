"""Plans by value and by property; their execution against plain loops that know nothing of plans."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.lag import LagPlan, make_plan
from lagbench.harness.learn.advantages import group_mean_std
from lagbench.harness.learn.aggregate import seq_mean_token_mean
from lagbench.harness.learn.collate import LagMismatch, realized_source
from lagbench.harness.learn.loop import generate, grade, train
from lagbench.harness.learn.policy import sequences
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.verify import Verifier

CHAIN = load_task("chain", {})


def test_constant_by_value() -> None:
    plan = make_plan("constant:2", updates=5, groups=2)
    assert plan.source.tolist() == [[0, 0], [0, 0], [0, 0], [1, 1], [2, 2]]
    assert plan.lag.tolist() == [[0, 0], [1, 1], [2, 2], [2, 2], [2, 2]]
    assert [(u, g.tolist()) for u, g in plan.generated_by(0)] == [(0, [0, 1]), (1, [0, 1]), (2, [0, 1])]
    assert [(u, g.tolist()) for u, g in plan.generated_by(1)] == [(3, [0, 1])]
    assert plan.generated_by(3) == []


def test_sync_is_constant_zero() -> None:
    sync, zero = make_plan("sync", 7, 3), make_plan("constant:0", 7, 3)
    assert (sync.lag == 0).all()
    assert sync.digest == zero.digest != make_plan("constant:1", 7, 3).digest


@given(st.integers(0, 40), st.integers(1, 5), st.integers(0, 60))
def test_constant_properties(updates: int, groups: int, k: int) -> None:
    plan = make_plan(f"constant:{k}", updates, groups)
    assert plan.source.shape == (updates, groups)
    assert (plan.lag == np.minimum(np.arange(updates), k)[:, None]).all()
    again = LagPlan.from_json(plan.to_json())
    assert again.digest == plan.digest and (again.source == plan.source).all()
    # every group of every update is generated exactly once, by a version that exists by then
    generated = [(u, g) for v in range(updates) for u, gs in plan.generated_by(v) for g in gs if v <= u]
    assert sorted(generated) == [(u, g) for u in range(updates) for g in range(groups)]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("constnat:4", "did you mean 'constant'"),
        ("constant:-1", "expected constant:K"),
        ("constant", "expected constant:K"),
        ("sync:3", "takes no argument"),
    ],
)
def test_wrong_schedules(schedule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(schedule, 4, 2)


def test_plan_from_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="group 1 of update 0 comes from version 1, expected a version from 0 to 0"):
        LagPlan("mine", np.array([[0, 1], [0, 0]], np.int32))


def test_changed_plan_is_refused() -> None:
    data = make_plan("constant:1", 3, 2).to_json()
    data["source"][2][0] = 0
    with pytest.raises(ValueError, match="does not fit its sources"):
        LagPlan.from_json(data)


# Execution. The plain loops below share sampler, policy and objective with the harness, and nothing about lag.


def harness_weights(run, tmp_path: Path) -> dict[str, torch.Tensor]:
    trainer = assemble_trainer(run, CHAIN, Verifier(CHAIN))
    folder = tmp_path / run.name
    folder.mkdir()
    for _ in train(trainer, OBJECTIVES.get(run.objective), folder):
        pass
    assert [row["lag_max"] for row in store.read_lines(folder / store.METRICS)] == trainer.plan.lag.max(1).tolist()
    return trainer.policy.model.state_dict()


def plain_weights(run, lag: int) -> dict[str, torch.Tensor]:
    """Train with snapshots of every version kept: update u on responses of version max(0, u - lag)."""
    trainer = assemble_trainer(run, CHAIN, Verifier(CHAIN))
    policy, groups = trainer.policy, np.arange(run.prompts_per_update)
    snapshots = []
    for update in range(run.updates):
        snapshots.append({name: value.clone() for name, value in policy.model.state_dict().items()})
        policy.model.load_state_dict(snapshots[max(0, update - lag)])
        rollouts = generate(trainer, update, groups)
        policy.model.load_state_dict(snapshots[update])
        rewards = grade(trainer, trainer.asked(update), rollouts)
        group = torch.arange(len(groups)).repeat_interleave(run.responses_per_prompt)
        forward = policy.forward(sequences(rollouts, trainer.codec.pad_id, policy.device))
        tokens = -group_mean_std(rewards, group)[:, None] * forward.logprobs
        (gradient,) = torch.autograd.grad(seq_mean_token_mean(tokens, rollouts.mask), forward.logprobs)
        forward.backward(gradient)
        policy.step()
    return policy.model.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_lag_0_is_plain_on_policy_training_bit_for_bit(run, tmp_path: Path) -> None:
    plain = plain_weights(run(), lag=0)
    assert same(harness_weights(run(lag="sync"), tmp_path), plain)
    assert same(harness_weights(run(lag="constant:0"), tmp_path), plain)
    assert not same(harness_weights(run(lag="constant:1"), tmp_path), plain)


@pytest.mark.parametrize("lag", [1, 3])
def test_constant_lag_equals_training_with_snapshots(run, tmp_path: Path, lag: int) -> None:
    settings = run(lag=f"constant:{lag}", updates=6)
    assert same(harness_weights(settings, tmp_path), plain_weights(settings, lag))


def test_groups_of_one_update_may_come_from_different_versions(run, tmp_path: Path) -> None:
    """A plan that mixes versions within updates is carried out group by group."""
    source = np.array([[0, 0, 0, 0], [1, 0, 1, 0], [0, 2, 1, 2], [3, 3, 0, 1]], np.int32)
    trainer = assemble_trainer(run(updates=4), CHAIN, Verifier(CHAIN))
    object.__setattr__(trainer, "plan", LagPlan("mixed", source))
    rows = list(train(trainer, OBJECTIVES.get("policy_gradient"), tmp_path))
    assert [row["source"] for row in rows] == source.tolist()
    assert [row["lag_max"] for row in rows] == [0, 1, 2, 3]


def test_a_token_from_the_wrong_version_is_caught(run) -> None:
    trainer = assemble_trainer(run(lag="constant:1"), CHAIN, Verifier(CHAIN))
    rollouts = generate(trainer, 3, np.arange(4))  # drawn by version 0, planned for version 2
    with pytest.raises(LagMismatch, match="update 3, response 0, token 0: drawn by version 0, planned 2"):
        realized_source(trainer.plan, 3, rollouts)
    rollouts.versions.fill_(2)
    assert realized_source(trainer.plan, 3, rollouts) == [2, 2, 2, 2]
    rollouts.versions[5, 1] = 1
    with pytest.raises(LagMismatch, match="response 5, token 1: drawn by version 1, planned 2; 1 tokens differ"):
        realized_source(trainer.plan, 3, rollouts)


def test_nothing_waits_at_the_end(run, tmp_path: Path) -> None:
    """Generating ahead draws exactly the responses that are trained on."""
    drawn = defaultdict(int)
    trainer = assemble_trainer(run(lag="constant:3"), CHAIN, Verifier(CHAIN))

    class Counting:
        def sample(self, prompts, noise):
            drawn[noise.update] += len(prompts)
            return trainer.sampler.sample(prompts, noise)

    list(train(trainer.__class__(**vars(trainer) | {"sampler": Counting()}), OBJECTIVES.get("spo"), tmp_path))
    assert drawn == dict.fromkeys(range(5), 4)
