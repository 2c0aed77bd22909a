"""Saving and restoring a run between two updates, exactly."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import store
from ..types import InputError
from .inbox import Inbox, Waiting
from .policy import Policy

LINES = {store.METRICS: 0, store.TRACE: 1}  # lines that are there before any update


def save(folder: Path, policy: Policy, inbox: Inbox) -> None:
    """Write down a run; of several processes, which all have to call it, process 0 does."""
    kept = policy.state()
    if policy.world.rank > 0:
        return
    waiting = {
        update: [vars(part) | {"groups": part.groups.tolist()} for part in parts] for update, parts in inbox.items()
    }
    state = {"policy": kept, "inbox": waiting, "lines": lines_digest(folder, policy.version)}
    store.write_atomically(folder / store.CHECKPOINT, lambda path: store.save_tensors(state, path))


def lines_digest(folder: Path, version: int) -> str:
    """sha256 over what the updates before `version` have left: lines of metrics and trace, and attempts."""
    kept = [store.first_lines(folder / name, version + extra) for name, extra in LINES.items()]
    tried = [folder / store.attempts_file(earlier) for earlier in range(version)]
    return hashlib.sha256(b"".join(kept + [path.read_bytes() for path in tried if path.exists()])).hexdigest()


def restore(folder: Path, policy: Policy) -> Inbox:
    """Put `policy` where the last checkpoint left it and return what was waiting; without one, start at version 0.

    What later versions have left is removed: those that come now may have other weights.
    """
    inbox: Inbox = defaultdict(list)
    path = folder / store.CHECKPOINT
    if path.exists():
        state = _load(path)
        policy.restore(state["policy"])
        for update, parts in state["inbox"].items():
            inbox[update] = [Waiting(**part | {"groups": np.asarray(part["groups"])}) for part in parts]
    for name, extra in LINES.items():
        store.keep_lines(folder / name, policy.version + extra)
    for later in range(policy.version + 1, policy.run.updates + 1):
        (folder / store.attempts_file(later)).unlink(missing_ok=True)
    return inbox


def _load(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # read once for all processes
    except Exception as error:  # whatever a truncated or foreign file makes the unpickler raise
        raise InputError(f"{path} is damaged ({type(error).__name__}); delete it, the cell then starts over") from error
