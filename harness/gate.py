"""A condition of validity: what a suite's proofs write and its report shows above every number."""

from __future__ import annotations

from dataclasses import dataclass

PARITY, DETERMINISM = "lag-0 parity", "determinism"  # that `lagbench run` proves; the others are read from files


@dataclass(frozen=True)
class Gate:
    """`passed` is None where it could not be looked at yet; `detail` says what holds, or what does not."""

    name: str
    passed: bool | None
    detail: str

    def __str__(self) -> str:
        return f"{'not run' if self.passed is None else 'ok' if self.passed else 'FAILED'}: {self.name}: {self.detail}"
