"""What a cell ran on, for its folder."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..types import Task

PACKAGES = ("lagbench", "torch", "transformers", "tokenizers", "numpy", "scipy", "math-verify")


def environment(command: str) -> dict[str, Any]:
    """Command and where it was given, versions, hardware."""
    return {
        "command": command,
        "folder": os.getcwd(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def data_digest(task: Task) -> str:
    """sha256 over all problems, in order."""
    content = hashlib.sha256()
    for problem in (*task.train, *task.test):
        content.update(repr((problem.id, problem.question, problem.answer)).encode())
    return content.hexdigest()


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        return names[0] if names else platform.processor()
    return platform.processor()
