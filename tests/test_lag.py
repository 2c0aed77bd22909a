"""Plans by value and by property; their execution against plain loops that know nothing of plans."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lagbench.harness import store
from lagbench.harness.lag import LagPlan, Scene, make_plan
from lagbench.harness.lag.plan import END
from lagbench.harness.lag.trace import as_group, lines, read_trace
from lagbench.harness.learn.advantages import group_mean_std
from lagbench.harness.learn.aggregate import seq_mean_token_mean
from lagbench.harness.learn.collate import LagMismatch, realized_versions, require_planned
from lagbench.harness.learn.loop import Trainer, generate, grade, learn, rewards_of, train
from lagbench.harness.learn.sequences import sequences
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.registry import OBJECTIVES, SCHEDULES, load_task
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.types import Rollouts
from lagbench.harness.verify import Verifier

CHAIN = load_task("chain", {})


def scene(updates: int, groups: int = 2, tokens: int = 12) -> Scene:
    return Scene(updates, groups, tokens, seed=0, measure_lengths=lambda: np.ones((updates, groups)))


def drawn_by(plan: LagPlan, version: int) -> list[list[object]]:
    return [[value if isinstance(value, int) else value.tolist() for value in part] for part in plan.drawn_by(version)]


def test_what_a_version_draws_by_value() -> None:
    plan = make_plan("constant:2", scene(5))
    assert plan.source.tolist() == [[0, 0], [0, 0], [0, 0], [1, 1], [2, 2]]
    assert plan.lag.tolist() == [[0, 0], [1, 1], [2, 2], [2, 2], [2, 2]]
    assert drawn_by(plan, 0) == [[update, [0, 1], [0, 0], [END, END]] for update in (0, 1, 2)]
    assert drawn_by(plan, 1) == [[3, [0, 1], [0, 0], [END, END]]]
    assert drawn_by(plan, 3) == []


def test_what_a_version_draws_in_flight_by_value() -> None:
    plan = LagPlan("mine", np.zeros((3, 2), np.int32), np.array([[1, 1, 4, 1], [2, 0, 3, 1], [2, 0, 5, 2]], np.int32))
    assert drawn_by(plan, 0)[1:] == [[1, [0, 1], [0, 0], [END, 4]], [2, [0, 1], [0, 0], [3, END]]]
    assert drawn_by(plan, 1) == [[1, [1], [4], [END]], [2, [0], [3], [5]]]
    assert drawn_by(plan, 2) == [[2, [0], [5], [END]]]
    assert plan.token_versions(2, 6).tolist() == [[0, 0, 0, 1, 1, 2], [0] * 6]
    assert plan.digest != LagPlan("mine", plan.source).digest


@pytest.mark.parametrize(
    ("switch", "message"),
    [
        ([1, 0, 0, 1], "switches to version 1 at token 0, expected a token after 0 and a version from 1 to 1"),
        ([1, 0, 3, 0], "switches to version 0 at token 3, expected a token after 0 and a version from 1 to 1"),
        ([1, 0, 3, 2], "expected a token after 0 and a version from 1 to 1"),
        ([1, 2, 3, 1], "but it has 2 x 2 groups"),
    ],
)
def test_impossible_switches_are_refused(switch: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LagPlan("mine", np.zeros((2, 2), np.int32), np.array([switch], np.int32))


def test_unsorted_switches_are_refused() -> None:
    rows = np.array([[1, 1, 3, 1], [1, 0, 3, 1]], np.int32)
    with pytest.raises(ValueError, match="not sorted"):
        LagPlan("mine", np.zeros((2, 2), np.int32), rows)


def test_plan_from_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="group 1 of update 0 comes from version 1, expected a version from 0 to 0"):
        LagPlan("mine", np.array([[0, 1], [0, 0]], np.int32))


def test_changed_plan_is_refused() -> None:
    data = make_plan("constant:1", scene(3)).to_json()
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
        rewards = rewards_of(grade(trainer, trainer.asked(update), rollouts))
        group = torch.arange(len(groups)).repeat_interleave(run.responses_per_prompt)
        forward = policy.forward(sequences(rollouts, trainer.codec.pad_id, policy.device))
        advantages = group_mean_std(rewards, group, rollouts.mask.sum(1))
        total = seq_mean_token_mean(-advantages[:, None] * forward.logprobs, rollouts.mask, group)
        (gradient,) = torch.autograd.grad(total, forward.logprobs)
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


def in_flight_by_snapshots(trainer: Trainer) -> Iterator[tuple[int, Rollouts, list[dict[str, torch.Tensor]]]]:
    """Train with snapshots of every version kept, and yield what each update consumed: generation in flight, plain."""
    policy, groups = trainer.policy, np.arange(trainer.run.prompts_per_update)
    snapshots = []
    for update in range(trainer.run.updates):
        snapshots.append({name: value.clone() for name, value in policy.model.state_dict().items()})
        versions = trainer.plan.token_versions(update, trainer.run.max_tokens)
        assert (versions == versions[0]).all()  # all groups of an update switch together in the schedules tested here
        rollouts, token = None, 0
        for version in np.unique(versions[0]):
            token += int((versions[0] == version).sum())
            policy.model.load_state_dict(snapshots[version])
            trainer.stamp[0] = int(version)
            rollouts = generate(trainer, update, groups, np.full(len(groups), token), rollouts)
        policy.model.load_state_dict(snapshots[update])
        learn(trainer, OBJECTIVES.get("policy_gradient"), update, rollouts)
        yield update, rollouts, snapshots


@dataclass(frozen=True)
class Stamped(Trainer):
    """A trainer whose sampler stamps what it is told to, because snapshots come and go."""

    stamp: list[int] = field(default_factory=lambda: [0])


def stamped(run) -> Stamped:
    trainer = assemble_trainer(run, CHAIN, Verifier(CHAIN))
    stamp = [0]
    sampler = replace(trainer.sampler, version=lambda: stamp[0])
    return Stamped(**vars(trainer) | {"sampler": sampler}, stamp=stamp)


def test_in_flight_equals_training_with_snapshots_bit_for_bit(run, tmp_path: Path) -> None:
    settings = run(lag="in_flight:3,2", updates=6)
    trainer = stamped(settings)
    consumed = [rollouts for _, rollouts, _ in in_flight_by_snapshots(trainer)]
    assert same(harness_weights(settings, tmp_path), trainer.policy.model.state_dict())
    assert max(len(row[mask].unique()) for r in consumed for row, mask in zip(r.versions, r.mask, strict=True)) == 4


@pytest.mark.parametrize("lag", ["in_flight:3,2", "in_flight:2,1", "constant:2"])
def test_every_token_is_drawn_by_its_version_as_a_slow_reference_draws_it(run, lag: str) -> None:
    """One token at a time, no cache, no batch, the weights of the planned version loaded for each token."""
    settings = run(lag=lag, updates=5, learning_rate=1e-2)
    trainer = stamped(settings)
    stops = set(trainer.sampler.stop_ids)
    for update, rollouts, snapshots in in_flight_by_snapshots(trainer):
        current = {name: value.clone() for name, value in trainer.policy.model.state_dict().items()}
        groups = tuple(range(settings.prompts_per_update))
        uniforms = Noise(TRAINING, 0, update, groups, settings.responses_per_prompt).uniforms(settings.max_tokens)
        planned = trainer.plan.token_versions(update, settings.max_tokens)
        for row in range(0, len(rollouts.tokens), 3):
            group = row // settings.responses_per_prompt
            text, logprobs = [], []
            while len(text) < settings.max_tokens and not stops & set(text):
                trainer.policy.model.load_state_dict(snapshots[planned[group, len(text)]])
                with torch.no_grad():
                    logits = trainer.policy.model(torch.tensor([[*rollouts.prompts[group], *text]])).logits[0, -1]
                distribution = logits.double().log_softmax(-1)
                cumulative = distribution.exp().cumsum(-1)
                text.append(int((cumulative <= uniforms[row, len(text)] * cumulative[-1]).sum()))
                logprobs.append(float(distribution[text[-1]]))
            mask = rollouts.mask[row]
            assert rollouts.tokens[row][mask].tolist() == text
            assert rollouts.versions[row][mask].tolist() == planned[group, : len(text)].tolist()
            torch.testing.assert_close(rollouts.behavior_logprobs[row][mask], torch.tensor(logprobs), rtol=0, atol=2e-5)
            assert bool(rollouts.stopped[row]) == bool(stops & set(text))
        trainer.policy.model.load_state_dict(current)


def test_groups_of_one_update_may_switch_at_different_tokens(run, tmp_path: Path) -> None:
    source = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 2, 0]], np.int32)
    switches = np.array([[1, 0, 2, 1], [2, 0, 1, 1], [2, 0, 3, 2], [2, 3, 4, 1]], np.int32)
    trainer = assemble_trainer(run(updates=3), CHAIN, Verifier(CHAIN))
    trainer = replace(trainer, plan=LagPlan("mixed", source, switches))
    rows = list(train(trainer, OBJECTIVES.get("policy_gradient"), tmp_path))
    assert read_trace(tmp_path / store.TRACE).digest == trainer.plan.digest
    assert [row["lag_max"] for row in rows] == [0, 1, 2]


EXAMPLES = {
    "sync": "sync",
    "constant": "constant:2",
    "uniform": "uniform:0-3",
    "periodic": "periodic:2+1",
    "staged": "staged:2",
    "heavy_tail": "heavy_tail:power,2,1",
    "heavy_tail_by_length": "heavy_tail_by_length",
    "burst": "burst:2,2",
    "capacity": "capacity:1",
    "window": "window:2,oldest",
    "in_flight": "in_flight:2,3",
    "trace": "trace:{}",
}


def test_there_is_an_example_of_every_schedule() -> None:
    built_in = {name for name, entry in SCHEDULES.all().items() if entry.distribution == "lagbench"}
    assert set(EXAMPLES) == built_in


@pytest.mark.parametrize("lag", EXAMPLES.values())
def test_every_schedule_is_carried_out_as_planned(run, tmp_path: Path, lag: str) -> None:
    recorded = tmp_path / "recorded.jsonl"
    mixed = LagPlan("mixed", np.array([[0] * 4] * 5, np.int32), np.array([[2, 1, 3, 2], [4, 0, 1, 3]], np.int32))
    store.write_lines(recorded, lines(mixed))
    trainer = assemble_trainer(run(lag=lag.format(recorded)), CHAIN, Verifier(CHAIN))
    rows = list(train(trainer, OBJECTIVES.get("spo"), tmp_path))
    assert read_trace(tmp_path / store.TRACE).digest == trainer.plan.digest
    assert all(row["lag_max"] == most for row, most in zip(rows, trainer.plan.lag.max(1), strict=True))
    if lag.startswith("trace"):
        assert trainer.plan.digest == mixed.digest


def test_groups_of_one_update_may_come_from_different_versions(run, tmp_path: Path) -> None:
    """A plan that mixes versions within updates is carried out group by group."""
    source = np.array([[0, 0, 0, 0], [1, 0, 1, 0], [0, 2, 1, 2], [3, 3, 0, 1]], np.int32)
    trainer = assemble_trainer(run(updates=4), CHAIN, Verifier(CHAIN))
    trainer = replace(trainer, plan=LagPlan("mixed", source))
    rows = list(train(trainer, OBJECTIVES.get("policy_gradient"), tmp_path))
    assert read_trace(tmp_path / store.TRACE).source.tolist() == source.tolist()
    assert [row["lag_max"] for row in rows] == [0, 1, 2, 3]


def test_a_token_from_the_wrong_version_is_caught(run) -> None:
    trainer = assemble_trainer(run(lag="constant:1"), CHAIN, Verifier(CHAIN))
    rollouts = generate(trainer, 3, np.arange(4))  # drawn by version 0, planned for version 2
    with pytest.raises(LagMismatch, match="update 3, response 0, token 0: drawn by version 0, planned 2"):
        require_planned(trainer.plan, 3, rollouts)
    rollouts.versions.fill_(2)
    require_planned(trainer.plan, 3, rollouts)
    rollouts.versions[5, 1] = 1
    with pytest.raises(LagMismatch, match="response 5, token 1: drawn by version 1, planned 2; 1 tokens differ"):
        require_planned(trainer.plan, 3, rollouts)


def test_the_trace_holds_what_the_stamps_say(run) -> None:
    """Not what was planned: a sampler that ignores where a version ends would show."""
    trainer = assemble_trainer(run(lag="in_flight:2,2"), CHAIN, Verifier(CHAIN))
    rollouts = generate(trainer, 4, np.arange(4))  # all by version 0
    longest = rollouts.mask.sum(1).view(4, 4).max(1).values.tolist()
    written = realized_versions(trainer.plan, 4, rollouts)
    planned = [[2, 3], [4, 4]]  # the switches of in_flight:2,2 in update 4: (token, version)
    for group, length in zip(written, longest, strict=True):
        beyond = [switch for switch in planned if switch[0] >= length]
        assert group == as_group(0, beyond)
    with pytest.raises(LagMismatch, match="drawn by version 0, planned 2"):
        require_planned(trainer.plan, 4, rollouts)


def test_nothing_waits_at_the_end(run, tmp_path: Path) -> None:
    """Generating ahead draws exactly the responses that are trained on."""
    drawn = defaultdict(int)
    trainer = assemble_trainer(run(lag="constant:3"), CHAIN, Verifier(CHAIN))

    class Counting:
        def sample(self, prompts, noise, ends=None, begun=None):
            drawn[noise.update] += len(prompts)
            return trainer.sampler.sample(prompts, noise, ends, begun)

    list(train(replace(trainer, sampler=Counting()), OBJECTIVES.get("spo"), tmp_path))
    assert drawn == dict.fromkeys(range(5), 4)
