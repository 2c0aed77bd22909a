"""What every objective and every task has to keep, built-in or not: `lagbench check NAME`, and the tests."""

from .findings import Finding
from .objective import check_objective
from .properties import CHECKS, Broken
from .task import check_task

__all__ = ["CHECKS", "Broken", "Finding", "check_objective", "check_task"]
