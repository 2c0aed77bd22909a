r"""AIME 2025: both exams of 15 problems; every answer is a whole number from 0 to 999 (made-up example).

    {"problem": "Find the number of positive integers below $100$ that divide $720$.", "answer": "24", "id": "0"}

Rows of the hub id do not say which exam they are from: they are called aime25-01 to aime25-30, in their order.

Source: AIME I and II 2025; the hub id's file is test.jsonl
Licence: problems (c) MAA, none stated
Rows: test 30
"""

from lagbench import Task, read_rows, task

from .aime24 import contest_problem


@task
def aime25(*, data: str = "math-ai/aime25") -> Task:
    """High-school olympiad qualifier, whole numbers; `data` is a local folder or a hub id."""
    rows = read_rows(data, "aime25", "test", rows=30)
    return Task(train=(), test=[contest_problem(row) for row in rows], answers="number")
