"""The actors of a live suite, and what to do when one dies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from ..types import InputError
from .actors import Actor, Grader, Learner, Worker

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
        self.hire(folder)


@dataclass
class Crew:
    """All members, started together."""

    workers: list[Member]
    grader: Member
    learner: Member

    @classmethod
    def of(cls, workers: int, folder: Path) -> Crew:
        """Start a crew. GPUs are shared out among workers and learner, where the cluster has any."""
        gpus = int(ray.cluster_resources().get("GPU", 0))
        share = 1 / -(-(workers + 1) // gpus) if gpus else 0  # as many to each GPU as are needed for all to have room
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
