r"""GSM8K: 7473 training and 1319 test word problems of grade-school arithmetic; the answer stands behind `####`.

    {"question": "Natalia sold clips to 48 of her friends in April, and ...?",
     "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May. ...\n#### 72"}

Trained on `train`, evaluated on `test`. Read from a folder with `gsm8k_train.jsonl` and `gsm8k_test.jsonl` (fields
`problem` and `answer`, as in LagBench's own data form) or with `train.jsonl` and `test.jsonl` (as its authors publish
them), or from a hub id (needs the extra `hub`).

Source: arXiv 2110.14168, github.com/openai/grade-school-math
Licence: MIT
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lagbench import InputError, Problem, Task, task

PROMPT = """Solve the problem step by step and end with #### and the answer.

Problem: Tom has 3 bags with 4 apples each and eats 2 apples. How many apples are left?
Solution: Tom has 3 * 4 = 12 apples. After eating 2, he has 12 - 2 = 10 apples.
#### 10

Problem: {question}
Solution:"""
_NUMBER = re.compile(r"[ \t]*\$?[ \t]*(-?[\d,]*\.?\d+(?:/\d+)?)")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


@task
def gsm8k(*, data: str = "openai/gsm8k") -> Task:
    """Grade-school word problems; `data` is a local folder or a hub id."""
    read = _from_folder if Path(data).expanduser().is_dir() else _from_hub
    return Task(
        train=[_problem(row, "train", i) for i, row in enumerate(read(data, "train"))],
        test=[_problem(row, "test", i) for i, row in enumerate(read(data, "test"))],
        prompt=PROMPT,
        extract=final_answer,
        answers="number",
    )


def _from_folder(data: str, split: str) -> Iterator[dict[str, Any]]:
    folder = Path(data).expanduser()
    names = (f"gsm8k_{split}.jsonl", f"{split}.jsonl", f"gsm8k/{split}.jsonl")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"data={data}: the folder holds no GSM8K {split} split; expected one of {', '.join(names)}")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError:
                raise InputError(f"{path}, line {number}: not valid JSON in UTF-8") from None


def _from_hub(data: str, split: str) -> Any:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", data) or data.startswith("."):
        raise InputError(f"data={data}: no such folder; expected a folder with GSM8K's files or a hub id")
    try:
        from datasets import load_dataset
    except ImportError:
        raise InputError(
            f"data={data}: no such folder, and reading a hub id needs an extra; run: pip install 'lagbench[hub]'"
        ) from None
    try:
        return load_dataset(data, "main", split=split)
    except Exception as error:  # whatever the hub client's transport raises
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"data={data}: no such folder, and as a hub id: {reason}") from None


def _problem(row: Any, split: str, index: int) -> Problem:
    if not isinstance(row, dict) or "answer" not in row or not {"question", "problem"} & set(row):
        held = ", ".join(row) if isinstance(row, dict) else repr(row)
        raise InputError(f"GSM8K {split} row {index}: expected fields question (or problem) and answer, got {held}")
    question = row["question"] if "question" in row else row["problem"]
    gold = str(row["answer"]).rpartition("####")[2].strip().replace(",", "")
    return Problem(id=f"gsm8k-{split}-{index:05}", question=question, answer=gold, task="gsm8k")


def final_answer(response: str) -> str | None:
    r"""The number that follows the last `####`, else what else is on its line; without one the last `\boxed{}`.

    A model that goes on to make up the next problem is read up to there.

    >>> final_answer("48 / 2 = 24\n#### 72 clips")
    '72'
    """
    response = response.partition("\nProblem:")[0]
    _, mark, rest = response.rpartition("####")
    if mark:
        found = _NUMBER.match(rest)
        return found[1] if found else rest.strip().split("\n")[0].strip() or None
    boxed = _BOXED.findall(response)
    return boxed[-1] if boxed else None
