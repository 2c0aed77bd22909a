"""Whether what a cell has left is what it wrote: damaged files are found before anything builds on them."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import torch

from .. import store
from ..checksums import damaged_files
from ..learn import checkpoint

KEPT = {store.RUN, store.LIVE_RULES, store.LOCK}  # when a cell starts over


def damage(folder: Path) -> str | None:
    """Which file of a finished or interrupted cell is damaged, and how; None where all is well."""
    if (folder / store.RESULT).exists():
        return next(iter(damaged_files(folder)), None)
    if (folder / store.CHECKPOINT).exists():
        return _of_interrupted(folder)
    return None


def start_over(folder: Path) -> None:
    """Remove what a cell has left, but for its configuration."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _of_interrupted(folder: Path) -> str | None:
    path = folder / store.CHECKPOINT
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()
        state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        version, lines = state["policy"]["version"], state["lines"]
    except Exception as error:  # whatever a truncated or foreign file makes zipfile and the unpickler raise
        return f"{path.name}: {type(error).__name__}: {str(error).splitlines()[0]}"
    if torn:
        return f"{path.name}: checksum of {torn}"
    if checkpoint.lines_digest(folder, version) != lines:
        return f"{store.METRICS} or {store.TRACE}: not what the cell had written at its checkpoint"
    return None
