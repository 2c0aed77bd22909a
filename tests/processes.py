"""What the processes of `test_sharded.py` do; every function is called by all of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lagbench.harness.config import Run
from lagbench.harness.learn import checkpoint
from lagbench.harness.learn.inbox import select
from lagbench.harness.learn.loop import Trainer, learn_graded
from lagbench.harness.learn.sharding import whole
from lagbench.harness.learn.shared import SharedSampler, make_verifier
from lagbench.harness.learn.world import World
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.sweep.cell import assemble_trainer, make_sampler
from lagbench.harness.sweep.shared_cell import own_folder
from lagbench.harness.types import NonFinite, Problem, Rollouts, Task, Verdict

CHAIN = load_task("chain", {})
UPDATES = 3
Learned = dict[str, Any]


def new_trainer(run: Run) -> Trainer:
    return assemble_trainer(run, CHAIN, make_verifier(CHAIN))


def learned(run: Run, rollouts: Rollouts, verdicts: list[Verdict], folder: Path | None = None) -> Learned:
    """What updates on fixed rollouts measure and make of the weights; then a checkpoint is left in `folder`."""
    trainer = new_trainer(run)
    gradient, rows = [], []
    for update in range(UPDATES):
        rows.append(learn_graded(trainer, OBJECTIVES.get(run.objective), update, rollouts, verdicts))
        gradient = gradient or [whole(value).clone() for value in trainer.policy.last_gradient]
    if folder:
        checkpoint.save(folder, trainer.policy, {})
    return {"rows": rows, "gradient": gradient} | held(trainer)


def resumed(run: Run, rollouts: Rollouts, verdicts: list[Verdict], folder: Path) -> Learned:
    """One update more, from a checkpoint."""
    trainer = new_trainer(run)
    checkpoint.restore(folder, trainer.policy)
    row = learn_graded(trainer, OBJECTIVES.get(run.objective), trainer.policy.version, rollouts, verdicts)
    return {"rows": [row]} | held(trainer)


def held(trainer: Trainer) -> Learned:
    policy = trainer.policy
    return {"weights": {name: value.clone() for name, value in policy.weights()}, "digest": policy.digest()}


def drawn(run: Run, sharers: World) -> list[Rollouts]:
    """Responses to five prompts, then to one alone; then those of the five written to their ends from a third on."""
    trainer = new_trainer(run)
    sampler, third = SharedSampler(make_sampler(trainer.policy, trainer.codec), sharers), [2, 3, 4, 5, 6]
    prompts = [trainer.codec.encode(problem) for problem in CHAIN.train[:5]]
    noise = Noise(TRAINING, 0, 0, (7, 1, 0, 3, 2), 4)
    begun = sampler.sample(prompts, noise, third)
    return [sampler.sample(prompts, noise), sampler.sample(prompts[:1], replace(noise, groups=(7,))), begun,
            sampler.sample(prompts, noise, [100] * 5, begun)]  # fmt: skip


def everything(
    runs: dict[str, Run], rollouts: Rollouts, verdicts: list[Verdict], kept: dict[str, Path], ones: Path, tell: Callable
) -> dict[str, Any]:
    """All that is compared with one process, whose checkpoint is in `ones`; of some runs one is left in `kept`."""
    world = World.current()
    found: dict[str, Any] = {}
    for name, run in runs.items():
        found[name] = learned(run, rollouts, verdicts, kept.get(name))
        if name in kept:
            found[f"{name} idle"] = learned(run, *first_group(rollouts, verdicts))
            with own_folder(ones, world) as folder:
                found[f"{name} resumed"] = resumed(run, rollouts, verdicts, folder)
        tell(name)
    return found | {
        "drawn": drawn(runs["none-cispo"], world),
        "uneven": uneven(runs["none-cispo"], world),
        "non-finite": told_to_all(world),
        "verdicts": world.gathered(verdict_of(world)),
    }


def uneven(run: Run, world: World) -> tuple[list[float], list[bool]]:
    """The sum of each gradient, where some parameters have one here and not there, and which of them have moved.

    Parameter 1 has one in every process, 2 in process 0, 3 in process 1; each is `rank + 1` in its first place.
    """
    policy = new_trainer(run).policy
    before = [value.clone() for _, value in policy.weights()]
    for i in (1, 2 + world.rank):
        policy.trained[i].grad = torch.zeros_like(policy.trained[i])
        policy.trained[i].grad.view(-1)[0] = 1e-3 * (world.rank + 1)
    policy.step()
    moved = [not torch.equal(value, was) for (_, value), was in zip(policy.weights(), before, strict=True)]
    return [1e3 * float(value.sum()) for value in policy.last_gradient], moved


def told_to_all(world: World) -> list[str]:
    """What each process raises where only the last one meets a log-probability that is not finite."""

    def make() -> None:
        if world.rank == world.size - 1:
            raise NonFinite("here")

    try:
        world.together(make)
    except NonFinite as error:
        return world.gathered(str(error))
    return []


def verdict_of(world: World) -> bool:
    """The verdict on an answer that process 0 alone takes for right."""
    problem = Problem("p", "1+1=", "2", "odd")
    odd = Task([problem], [problem], check=lambda problem, answer: world.rank == 0, extract=lambda response: response)
    (verdict,) = make_verifier(odd).grade([problem], ["2"])
    return verdict.correct


def first_group(rollouts: Rollouts, verdicts: list[Verdict]) -> tuple[Rollouts, list[Verdict]]:
    """An update that only one process has a share of."""
    return select(rollouts, np.array([0])), verdicts[: rollouts.group_size]


def fixed(run: Run) -> tuple[Rollouts, list[Verdict]]:
    """Five groups of four responses of unequal lengths, drawn by another policy than the one that starts to learn.

    One group is right throughout: its gradient is zero, and so is a micro-batch of it alone.
    """
    trainer = new_trainer(run)
    prompts = [trainer.codec.tokenizer(text).input_ids for text in ("3+5-2=", "7-9=", "4+4+4+4-1=", "0-0-9=", "8-1+2=")]
    rollouts = trainer.sampler.sample(prompts, Noise(TRAINING, 3, 0, tuple(range(5)), 4))
    assert len({len(prompt) for prompt in prompts}) > 1 and len(set(rollouts.mask.sum(1).tolist())) > 2
    rng = np.random.default_rng(0)
    shift = torch.from_numpy(rng.normal(0, 0.3, rollouts.tokens.shape)).float() * rollouts.mask
    right = [bool(value) for value in rng.integers(0, 2, len(rollouts.tokens))]
    right[12:16] = [True] * 4
    verdicts = [Verdict(one, "1", "exact") for one in right]
    return replace(rollouts, behavior_logprobs=rollouts.behavior_logprobs + shift), verdicts
