"""What every registered objective has to keep, built-in or not: `lagbench check NAME`, and the tests."""

from .objective import check_objective
from .properties import CHECKS, Broken

__all__ = ["CHECKS", "Broken", "check_objective"]
