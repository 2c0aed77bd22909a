"""The tiers that suites are made for: what each needs, the command, and what a machine lacks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .machine import Machine
from .memory import GIB, QWEN3_1_7B, SMOLLM2, Model, learner_memory
from .trial import Trial

ENGINE = 0.4  # of a GPU that vLLM takes where it shares one with the learner
PROMPT = 256  # tokens, of which few prompts have more


@dataclass(frozen=True)
class Tier:
    """`gpu_memory` in bytes of each GPU; memory and disk of the machine in bytes."""

    name: str
    what: str
    command: str
    memory: int
    disk: int
    gpus: int = 0
    gpu_memory: int = 0
    extras: tuple[str, ...] = ()
    elsewhere: str = ""  # what it needs that one machine cannot show

    def missing(self, machine: Machine, trial: Trial) -> list[str]:
        """What keeps `machine` from it, in words with their remedy."""
        return list(filter(None, self._missing(machine, trial)))

    def _missing(self, machine: Machine, trial: Trial) -> Iterable[str]:
        if not trial.trained:
            yield f"the embedded model does not train here: {trial.text}"
        fit = [gpu for gpu in machine.gpus if gpu.bf16 and gpu.memory >= self.gpu_memory]
        if len(fit) < self.gpus:
            yield f"{self.gpus} GPU{'s' * (self.gpus > 1)} with bf16 and {gib(self.gpu_memory)} each: {len(fit)} here"
        if machine.memory < self.memory:
            yield f"{gib(self.memory)} of memory: {gib(machine.memory)} here"
        if machine.disk < self.disk:
            yield f"{gib(self.disk)} of free disk: {gib(machine.disk)} here"
        yield from (one.command for one in machine.extras if one.name in self.extras and not one.installed)
        yield self.elsewhere


def gib(size: int) -> str:
    return f"{size / GIB:.0f} GiB" if size >= 10 * GIB else f"{size / GIB:.1f} GiB"


def gsm8k(model: Model) -> int:
    """Bytes of a GPU for gsm8k.toml: 32 x 8 responses of up to 1024 tokens, drawn by the torch sampler."""
    return learner_memory(model, 16384, checkpointing=True, drawn_tokens=256 * (PROMPT + 1024)).peak


def math(model: Model) -> int:
    """Bytes of each GPU for math.toml, a vLLM beside the learner."""
    return int(learner_memory(model, 16384, checkpointing=True).peak / (1 - ENGINE))


def sharded_math(model: Model, processes: int, responses: int = 512, max_tokens: int = 2048) -> int:
    """Bytes of each GPU for math.toml with a learner over several: 32 x 16 responses of up to 2048 tokens, divided.

    asympo_math.toml has half as many of twice the length.
    """
    drawn = responses * (PROMPT + max_tokens) // processes
    memory = learner_memory(model, 16384, processes=processes, sharded=True, checkpointing=True, drawn_tokens=drawn)
    return memory.peak


LAPTOP = Tier("laptop", "the embedded model, minutes", "lagbench run quick", 2 * GIB, GIB)
EIGHT_GPUS = Tier(
    "8 GPUs",
    "Qwen3-1.7B-Base on MATH",
    "lagbench run math executor=ray",
    memory=256 * GIB,
    disk=500 * GIB,
    gpus=8,
    gpu_memory=math(QWEN3_1_7B),
    extras=("hub", "vllm", "ray"),
)
TIERS = (
    LAPTOP,
    Tier(
        "one GPU",
        "SmolLM2-135M on GSM8K",
        "lagbench run gsm8k",
        memory=16 * GIB,
        disk=20 * GIB,
        gpus=1,
        gpu_memory=gsm8k(SMOLLM2),
        extras=("hub",),
    ),
    EIGHT_GPUS,
    replace(
        EIGHT_GPUS,
        name="cluster",
        what="several such machines",
        command="lagbench run math executor=ray address=HOST:6379 --results SHARED",
        elsewhere="a Ray cluster at address=, whose nodes share the results folder",
    ),
)


def reached(machine: Machine, trial: Trial) -> list[Tier]:
    """Tiers that run here; each is only asked for where those before it run."""
    found: list[Tier] = []
    for tier in TIERS:
        if tier.missing(machine, trial):
            break
        found.append(tier)
    return found
