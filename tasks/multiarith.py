r"""MultiArith: 600 elementary word problems of two steps or more, 20 of them given twice (made-up example).

    {"question": " Ann had 3 boxes with 12 pens each. If she gave away 4, how many does she have?",
     "final_ans": "32"}

All 600 are held out, nothing is trained on: from `multiarith_test.jsonl`, or both splits (420 and 180) of the hub id,
which have another order and so other ids.

Source: Roy and Roth 2015, arXiv 1608.01413; files of github.com/ZubinGou/math-evaluation-harness
Licence: none stated by its authors
Rows: test 600
"""

from lagbench import Problem, Row, Task, plain_number, read_rows, task


@task
def multiarith(*, data: str = "ChilleD/MultiArith") -> Task:
    """Elementary word problems of several steps; `data` is a local folder or a hub id."""
    rows = read_rows(data, "multiarith", "test", rows=600, hub_split="train+test")
    return Task(train=(), test=[_problem(row) for row in rows], answers="number")


def _problem(row: Row) -> Problem:
    return row.problem(
        question=row.text("problem", "question").strip(), answer=plain_number(row.text("answer", "final_ans"))
    )
