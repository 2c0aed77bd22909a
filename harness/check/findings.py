"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "FAILED"]


@dataclass(frozen=True)
class Finding:
    """What a check of an objective or a task found: that it holds, something to know, or that it is broken."""

    name: str  # of the objective or task
    check: str
    state: State
    text: str
