"""Which objectives are one formula where policies do not differ: known before the run, and not tested there.

At lag 0 the policy that is trained has drawn the responses itself, and ratios are 1. An objective whose gradient is
A grad log pi then (`Conventions.on_policy_weight` is None) is the policy gradient there, whatever it clips, under the
same advantage, aggregate and denominator. Comparing two of them compares a formula with itself: such tests find
nothing, and would only make the others of their family harder to pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import NO_MISMATCH, PAPER
from ..record import SuiteRecord
from ..registry import OBJECTIVES
from ..types import InputError

ON_POLICY = "constant:0"  # in folded spelling


def same_formula(suite: SuiteRecord, objective: str, mismatch: str, lag: str) -> bool:
    """Whether this row and the baseline's are one formula: on policy, drawn by the learner's own model, undisturbed."""
    on_policy = lag == ON_POLICY and mismatch == NO_MISMATCH and suite.settings.get("sampler", "torch") == "torch"
    own = _on_policy_formula(objective, suite.settings)
    return on_policy and own is not None and own == _on_policy_formula(suite.baseline, suite.settings)


def _on_policy_formula(objective: str, settings: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What stands around A grad log pi; None of an objective that weighs it, or that is not installed here."""
    try:
        conventions = OBJECTIVES.get(objective).conventions
    except InputError:
        return None
    if conventions.on_policy_weight is not None:
        return None
    return tuple(own if settings.get(key) == PAPER else settings.get(key) for key, own in conventions.names.items())
