"""LagBench: RL objectives for language models, compared under exactly controlled policy lag.

These are the names that authors of objectives and tasks need; everything else is reached through the command line.
"""

from .harness.data import Row, plain_number, read_rows
from .harness.registry import objective, schedule, task
from .harness.types import Batch, InputError, Loss, Problem, Task
from .harness.verify.extract import final_answer

__all__ = [
    "Batch",
    "InputError",
    "Loss",
    "Problem",
    "Row",
    "Task",
    "final_answer",
    "objective",
    "plain_number",
    "read_rows",
    "schedule",
    "task",
]
