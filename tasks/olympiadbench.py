r"""OlympiadBench: its 675 open-ended English mathematics problems without pictures (made-up example).

    {"id": 1606, "subfield": "Algebra", "context": null, "question": "Solve $x^2 = 9$.", "final_answer": ["$-3$,$3$"],
     "is_multiple_answer": true, "unit": null, "answer_type": "Numerical"}

94 of them ask for several answers, written one after the other with commas, and 8 for an answer in a unit; the dollar
signs around answers are dropped. Copies differ by a row: the authors' current file, OE_TO_maths_en_COMP, has 674.

Source: arXiv 2402.14008, github.com/OpenBMB/OlympiadBench
Licence: MIT (the repository; problems of many contests)
Rows: test 675
"""

from lagbench import InputError, Problem, Row, Task, read_rows, task


@task
def olympiadbench(*, data: str = "knoveleng/OlympiadBench") -> Task:
    """Olympiad problems with LaTeX answers; `data` is a local folder or a hub id."""
    rows = read_rows(data, "olympiadbench", "test", rows=675, hub_split="train")
    return Task(train=(), test=[_problem(row) for row in rows])


def _problem(row: Row) -> Problem:
    context = row.get("context")
    question = row.text("problem", "question")
    return row.problem(
        id=f"olympiadbench-{row.get('id').removeprefix('olympiadbench-') or format(row.index, '05')}",
        question=f"{context}\n{question}" if context else question,
        answer=_answer(row).replace("$", ""),
        subject=row.get("subfield"),
    )


def _answer(row: Row) -> str:
    final = row.fields.get("final_answer")
    if not isinstance(final, list):
        return row.text("answer")
    if not final or not all(isinstance(answer, str) for answer in final):
        raise InputError(f"{row.where}: expected a list of texts as final_answer, got {str(final)[:60]}")
    return ", ".join(final)
