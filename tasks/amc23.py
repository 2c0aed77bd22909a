r"""AMC 2023: the 40 problems of exams 12A and 12B whose answer is a number, without the choices (made-up example).

    {"id": 0, "problem": "How many primes lie between $10$ and $30$?", "answer": 6.0,
     "url": "https://artofproblemsolving.com/wiki/index.php/2023_AMC_12A_Problems/Problem_1"}

Source: AMC 12A and 12B 2023; collected in AI-MO/aimo-validation-amc
Licence: problems (c) MAA, none stated
Rows: test 40
"""

from lagbench import Task, read_rows, task

from .aime24 import contest_problem


@task
def amc23(*, data: str = "math-ai/amc23") -> Task:
    """High-school competition, numbers; `data` is a local folder or a hub id."""
    rows = read_rows(data, "amc23", "test", rows=40)
    return Task(train=(), test=[contest_problem(row) for row in rows], answers="number")
