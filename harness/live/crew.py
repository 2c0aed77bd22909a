"""The actors of a live suite, and what to do when one dies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from ..rollout.vllm_engine import GPU_FRACTION, gpu_fraction
from ..types import InputError
from .actors import Actor, Grader, Learner, Worker

ROOM = 0.8  # of a GPU's memory, for the engines on it
DEATHS = 3  # in a row, without anything new done in between: then it is no accident


@dataclass
class Member:
    """One place in the crew: whoever holds it may be replaced."""

    name: str
    kind: type[Actor]
    options: dict[str, Any]
    handle: Any = None
    deaths: int = 0  # in a row

    def hire(self, folder: Path) -> None:
        """Start a process for this place; `folder` is where the command was given."""
        self.handle = ray.remote(self.kind).options(**self.options).remote(folder)

    def replace(self, folder: Path, reason: str) -> None:
        """Start another process. An InputError where they die one after the other."""
        self.deaths += 1
        if self.deaths == DEATHS:
            raise InputError(
                f"the {self.name} died {DEATHS} times in a row ({reason}); is there enough memory? "
                "The same command goes on from the last checkpoint"
            )
        ray.kill(self.handle, no_restart=True)  # one that is merely out of reach may still live, and write
        self.hire(folder)


@dataclass
class Crew:
    """All members, started together."""

    workers: list[Member]
    grader: Member
    learner: Member

    @classmethod
    def of(cls, workers: int, sampler: str, folder: Path) -> Crew:
        """Start a crew. GPUs are shared out among workers and learner, where the cluster has any."""
        gpus = int(ray.cluster_resources().get("GPU", 0))
        each = -(-(workers + 1) // gpus) if gpus else 0  # as many to each GPU as are needed for all to have room
        if sampler == "vllm":
            check_engines(each)
        share = 1 / each if gpus else 0
        drawing = {"num_cpus": 0, "num_gpus": share, "scheduling_strategy": "SPREAD"}
        crew = cls(
            [Member(f"worker {i}", Worker, drawing) for i in range(workers)],
            Member("grader", Grader, {"num_cpus": 0}),
            Member("learner", Learner, {"num_cpus": 0, "num_gpus": share}),
        )
        for member in crew.members:
            member.hire(folder)
        return crew

    @property
    def members(self) -> list[Member]:
        return [*self.workers, self.grader, self.learner]


def check_engines(processes: int) -> None:
    """An InputError where so many processes of one GPU, each with a vLLM and a model of its own, leave it no room."""
    fraction = gpu_fraction()
    if processes > 1 and processes * fraction > ROOM:
        raise InputError(
            f"{processes} processes share a GPU, and the vLLM of each takes {fraction:g} of its memory: "
            f"set {GPU_FRACTION}={int(100 * ROOM / processes) / 100} or less on every node, or use fewer --workers"
        )
