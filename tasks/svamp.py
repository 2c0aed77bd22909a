r"""SVAMP: 1000 elementary word problems, one or two steps each, varied so that shortcuts fail (made-up example).

    {"ID": "chal-1", "Body": "Each box holds 12 pens. Ann took away 4 pens",
     "Question": "How many are left in one box?", "Equation": "( 12.0 - 4.0 )", "Answer": 8.0, "Type": "Subtraction"}

All 1000 are held out, nothing is trained on: from `SVAMP.json` as its authors publish it, from `svamp_test.jsonl`, or
both splits (700 and 300) of the hub id, put back into its authors' order.

Source: arXiv 2103.07191, github.com/arkilpatel/SVAMP
Licence: MIT
Rows: test 1000
"""

import re

from lagbench import InputError, Problem, Row, Task, plain_number, read_rows, task

_ID = re.compile(r"(?:chal-)?(\d{1,4})")


@task
def svamp(*, data: str = "ChilleD/SVAMP") -> Task:
    """Elementary word problems, varied; `data` is a local folder or a hub id."""
    files = ("SVAMP.json", "svamp/SVAMP.json")
    rows = read_rows(data, "svamp", "test", rows=1000, files=files, hub_split="train+test")
    problems = sorted(map(_problem, rows), key=lambda problem: problem.id)
    return Task(train=(), test=problems, answers="number")


def _problem(row: Row) -> Problem:
    if not row.get("Body"):
        return row.problem(answer=plain_number(row.text("answer")))
    body, number = row.text("Body").strip(), _ID.fullmatch(row.text("ID"))
    if number is None:
        raise InputError(f"{row.where}: expected an ID as in chal-1, got {row.text('ID')[:60]!r}")
    return row.problem(
        id=f"svamp-{int(number[1]):04}",
        question=f"{body}{'' if body.endswith(('.', '?', '!')) else '.'} {row.text('Question').strip()}",
        answer=plain_number(row.text("Answer")),
        subject=row.get("Type"),
    )
