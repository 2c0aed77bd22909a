r"""Problems of your own: a file of JSON lines (or a JSON array, or parquet), written `jsonl:FILE`.

    {"problem": "What is 2 + 3?", "answer": "5"}
    {"question": "Solve $2x = 6$.", "answer": "3", "id": "r1", "split": "train", "level": 2, "type": "Algebra"}

`problem` (or `question`) and `answer` are needed. `id`, `level`, `type` (or `subject`) are kept; `split` says train or
test, and a row without one is held out. Answers are LaTeX or text. `lagbench check jsonl:FILE` looks it through.

Source: yours
Licence: yours
Rows: any number
"""

from pathlib import Path

from lagbench import InputError, Row, Task, read_rows, task


@task
def jsonl(*, data: str) -> Task:
    """Problems of your own; `data` is a file with a problem and its answer in every line."""
    if not Path(data).expanduser().is_file():
        raise InputError(f"jsonl:{data}: no such file; expected one JSON object a line, with problem and answer")
    rows = read_rows(data, "jsonl", "test")
    return Task(
        train=[row.problem() for row in rows if _split(row) == "train"],
        test=[row.problem() for row in rows if _split(row) == "test"],
    )


def _split(row: Row) -> str:
    split = row.get("split") or "test"
    if split not in ("train", "test"):
        raise InputError(f"{row.where}: split={split!r} is not valid; expected train or test")
    return split
