r"""MATH-500: 500 competition problems, five levels, seven subjects; answers in LaTeX (made-up example).

    {"problem": "Compute $\\frac{1}{2} + \\frac{1}{4}$.", "solution": "It is $\\boxed{\\frac{3}{4}}$.",
     "answer": "\\frac{3}{4}", "subject": "Prealgebra", "level": 1, "unique_id": "test/prealgebra/0.json"}

The part of MATH's test set that Lightman et al. held out, so the rest of that test set is trained on in other work.

Source: arXiv 2305.20050, github.com/openai/prm800k, of arXiv 2103.03874
Licence: MIT by its authors; AoPS claims the problems (notice of January 2025 on MATH)
Rows: test 500
"""

from lagbench import Problem, Row, Task, read_rows, task


@task
def math500(*, data: str = "HuggingFaceH4/MATH-500") -> Task:
    """Competition problems with LaTeX answers; `data` is a local folder or a hub id."""
    return Task(train=(), test=[_problem(row) for row in read_rows(data, "math500", "test", rows=500)])


def _problem(row: Row) -> Problem:
    """The id of `test/algebra/12.json` is math500-test-algebra-12."""
    place = row.get("unique_id").removesuffix(".json").replace("/", "-")
    return row.problem(id=f"math500-{place}" if place else "")
