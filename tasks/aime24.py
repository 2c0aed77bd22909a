r"""AIME 2024: both exams of 15 problems; every answer is a whole number from 0 to 999 (made-up example).

    {"id": 60, "problem": "Find the number of positive integers below $100$ that divide $720$.", "answer": "024",
     "solution": "...", "url": "https://artofproblemsolving.com/wiki/index.php/2024_AIME_I_Problems/Problem_1"}

Source: AIME I and II 2024; the hub id is taken from AI-MO/aimo-validation-aime
Licence: problems (c) MAA, none stated
Rows: test 30
"""

import re

from lagbench import Problem, Row, Task, plain_number, read_rows, task

_URL = re.compile(r"20\d\d_(?:AIME|AMC)_(\w+)_Problems/Problem_(\d+)")


@task
def aime24(*, data: str = "HuggingFaceH4/aime_2024") -> Task:
    """High-school olympiad qualifier, whole numbers; `data` is a local folder or a hub id."""
    rows = read_rows(data, "aime24", "test", rows=30, hub_split="train")
    return Task(train=(), test=[contest_problem(row) for row in rows], answers="number")


def contest_problem(row: Row) -> Problem:
    """The problem of a row, its id from its own `id` or its page: aime24-II-07 is problem 7 of the second exam."""
    page = _URL.search(row.get("url"))
    known = f"{row.task}-{page[1]}-{int(page[2]):02}" if page else ""
    own = row.get("id") if row.get("id").startswith(row.task) else f"{row.task}-{row.index + 1:02}"
    return row.problem(id=known or own, answer=plain_number(row.text("answer")))
