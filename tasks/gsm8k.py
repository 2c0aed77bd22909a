r"""GSM8K: word problems of grade-school arithmetic, two to eight steps each; the answer stands behind `####`.

    {"question": "Natalia sold clips to 48 of her friends in April, and ...?",
     "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May. ...\n#### 72"}

Trained on `train`, evaluated on `test`. A folder holds `gsm8k_train.jsonl` and `gsm8k_test.jsonl`, or `train.jsonl` and
`test.jsonl` as its authors publish them.

Source: arXiv 2110.14168, github.com/openai/grade-school-math
Licence: MIT
Rows: train 7473, test 1319
"""

from lagbench import Problem, Row, Task, plain_number, read_rows, task

PROMPT = """Solve the problem step by step and end with #### and the answer.

Problem: Tom has 3 bags with 4 apples each and eats 2 apples. How many apples are left?
Solution: Tom has 3 * 4 = 12 apples. After eating 2, he has 12 - 2 = 10 apples.
#### 10

Problem: {question}
Solution:"""


@task
def gsm8k(*, data: str = "openai/gsm8k") -> Task:
    """Grade-school word problems; `data` is a local folder or a hub id."""
    train = read_rows(data, "gsm8k", "train", rows=7473, config="main")
    test = read_rows(data, "gsm8k", "test", rows=1319, config="main")
    return Task(
        train=[_problem(row) for row in train],
        test=[_problem(row) for row in test],
        prompt=PROMPT,
        answer_form="#### {answer}",
        answers="number",
    )


def _problem(row: Row) -> Problem:
    return row.problem(answer=plain_number(row.text("answer").rpartition("####")[2]))
