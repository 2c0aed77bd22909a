"""LagBench: RL objectives for language models, compared under exactly controlled policy lag.

These are the names that authors of objectives and tasks need; everything else is reached through the command line.
"""

from .harness.registry import objective, schedule, task
from .harness.types import Batch, InputError, Loss, Problem, Task

__all__ = ["Batch", "InputError", "Loss", "Problem", "Task", "objective", "schedule", "task"]
