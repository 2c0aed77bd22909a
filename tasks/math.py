r"""MATH: 7500 competition problems to train on, five levels, seven subjects; MATH-500 is held out (made-up example).

    {"problem": "Compute $\\frac{1}{2} + \\frac{1}{4}$.", "level": "Level 1", "type": "Prealgebra",
     "solution": "A common denominator gives $\\frac{2}{4} + \\frac{1}{4} = \\boxed{\\frac{3}{4}}$."}

The gold answer is in the last box of the solution. Training reads the `train` split only; the test is the task
`math500`, from the same folder, or from its own hub id.

Source: arXiv 2103.03874, github.com/hendrycks/math; the hub id is a copy (the first was taken down)
Licence: MIT by its authors; AoPS claims the problems (notice of January 2025)
Rows: train 7500, test 500
"""

import re
from pathlib import Path

from lagbench import InputError, Problem, Row, Task, final_answer, read_rows, task

from .math500 import math500

_WITHOUT_BRACES = re.compile(r"\\boxed\s+([^\s{}$.]+)")  # `\boxed 5`


@task
def math(*, data: str = "DigitalLearningGmbH/MATH-lighteval") -> Task:
    """Competition problems to train on, MATH-500 held out; `data` is a local folder or a hub id."""
    train = [_problem(row) for row in read_rows(data, "math", "train", rows=7500)]
    test = math500(data=data) if Path(data).expanduser().is_dir() else math500()
    return Task(train=train, test=test.test)


def _problem(row: Row) -> Problem:
    return row.problem(answer=row.get("answer") or _boxed(row), level=row.get("level").removeprefix("Level "))


def _boxed(row: Row) -> str:
    solution = row.text("solution")
    bare = _WITHOUT_BRACES.findall(solution)
    answer = final_answer(solution) or (bare[-1] if bare else "")
    if not answer:
        raise InputError(f"{row.where}: expected \\boxed{{}} in the solution, got {solution[-60:]!r}")
    return answer
