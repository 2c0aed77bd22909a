"""Whether what a cell has left is what it wrote: damaged files are found before anything builds on them."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from .. import store
from ..config import digest_of
from ..learn import checkpoint

KEPT = {store.RUN, store.LOCK}  # when a cell starts over


def seal(result: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A result with the sha256 of every file that belongs to it, and its own digest."""
    sealed = result | {"files": file_digests(folder)}
    return sealed | {"digest": digest_of(sealed)}


def file_digests(folder: Path) -> dict[str, str]:
    """sha256 of the files that a cell has written, by their path in its folder."""
    paths = [folder / name for name in (store.ENVIRONMENT, store.PLAN, store.TRACE, store.METRICS)]
    paths += sorted(folder.glob(store.attempts_file("*"))) + sorted((folder / store.MODEL).rglob("*"))
    return {str(path.relative_to(folder)): _sha256(path) for path in paths if path.is_file()}


def damage(folder: Path) -> str | None:
    """Which file of a finished or interrupted cell is damaged, and how; None where all is well."""
    if (folder / store.RESULT).exists():
        return _of_finished(folder)
    if (folder / store.CHECKPOINT).exists():
        return _of_interrupted(folder)
    return None


def start_over(folder: Path) -> None:
    """Remove what a cell has left, but for its configuration."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _of_finished(folder: Path) -> str | None:
    try:
        result = json.loads((folder / store.RESULT).read_text())
        if result.pop("digest") != digest_of(result):
            return f"{store.RESULT}: its digest does not fit it"
        files = result["files"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{store.RESULT}: {type(error).__name__}: {error}"
    present = file_digests(folder)
    cleared = not (folder / store.MODEL).exists()  # somebody made room
    wrong = [name for name, digest in files.items() if digest != present.get(name)]
    wrong = [name for name in wrong if not (cleared and name.startswith(f"{store.MODEL}/"))]
    return f"{wrong[0]}: {'not what the cell wrote' if wrong[0] in present else 'missing'}" if wrong else None


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
