"""What every registered objective has to keep, built-in or not: `lagbench check NAME`, and the tests."""

from .objective import CHECKS, Broken, check_objective

__all__ = ["CHECKS", "Broken", "check_objective"]
