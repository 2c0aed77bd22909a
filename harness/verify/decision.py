"""What a comparison of two answers comes to."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Method


@dataclass(frozen=True)
class Decision:
    """Whether an answer is the gold answer, and what found it; `guard` is a rule against a known false positive."""

    same: bool
    method: Method


UNLIKE = Decision(False, "guard")
