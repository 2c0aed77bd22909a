"""A condition of validity: what a suite's proofs write and its report shows above every number."""

from __future__ import annotations

from dataclasses import dataclass

PARITY, DETERMINISM = "lag-0 parity", "determinism"  # that `lagbench run` proves; the others are read from files


@dataclass(frozen=True)
class Gate:
    """`passed` is None where it could not be looked at yet; `detail` says what holds, or what does not.

    An engine that draws beside the learner may give other bits the second time: then equality was tried, is not
    `promised`, and `passed` stays None.
    """

    name: str
    passed: bool | None
    detail: str
    promised: bool = True

    def __str__(self) -> str:
        return f"{self.state}: {self.name}: {self.detail}"

    @property
    def state(self) -> str:
        """ok, FAILED, not run, or not promised."""
        if self.passed is None:
            return "not run" if self.promised else "not promised"
        return "ok" if self.passed else "FAILED"
