"""What a cell ran on, for its folder."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..data import data_digest
from ..models import digest, locate
from ..types import Task

PACKAGES = ("lagbench", "torch", "transformers", "tokenizers", "numpy", "scipy", "math-verify")


def environment(command: str, *engine: str) -> dict[str, Any]:
    """Command and where it was given, versions, those of the packages of an `engine` too, hardware."""
    return {
        "command": command,
        "folder": os.getcwd(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in (*PACKAGES, *engine)},
        "machine": platform.node(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def inputs(model: str, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """What a suite reads: digest of the model's files, digests and row counts of its tasks."""
    return {
        "model_digest": digest(locate(model)),
        "data_digest": {name: data_digest(task) for name, task in tasks.items()},
        "data_rows": {name: {"train": len(task.train), "test": len(task.test)} for name, task in tasks.items()},
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        return names[0] if names else platform.processor()
    return platform.processor()
