"""Saving and restoring a run between two updates, exactly."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import store
from ..types import InputError
from .inbox import Inbox, Waiting
from .policy import Policy


def save(folder: Path, policy: Policy, inbox: Inbox) -> None:
    waiting = {
        update: [vars(part) | {"groups": part.groups.tolist()} for part in parts] for update, parts in inbox.items()
    }
    state = {"policy": policy.state(), "inbox": waiting}
    store.write_atomically(folder / store.CHECKPOINT, lambda path: _save(state, path))


def _save(state: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:  # given a path, torch would not say that the disk is full
        torch.save(state, file)


def restore(folder: Path, policy: Policy) -> Inbox:
    """Put `policy` where the last checkpoint left it and return what was waiting; without one, start at version 0."""
    inbox: Inbox = defaultdict(list)
    path = folder / store.CHECKPOINT
    if path.exists():
        state = _load(path)
        policy.restore(state["policy"])
        for update, parts in state["inbox"].items():
            inbox[update] = [Waiting(**part | {"groups": np.asarray(part["groups"])}) for part in parts]
    store.keep_lines(folder / store.METRICS, policy.version)
    store.keep_lines(folder / store.TRACE, policy.version + 1)
    return inbox


def _load(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a truncated or foreign file makes the unpickler raise
        raise InputError(f"{path} is damaged ({type(error).__name__}); delete it, the cell then starts over") from error
