r"""Sums and differences of two to six numbers of one to four digits, made by reasoning-gym.

    {"id": "rg_chain_sum-test-00001", "answer": "9",
     "problem": "State the final answer to the following arithmetic problem: 6 + 3 ="}

Read from a folder with `rg_chain_sum_train.jsonl` and `rg_chain_sum_test.jsonl`, or made: the same problems. See
`reasoning_gym.py` for the seeds.

Source: arXiv 2505.24760, github.com/open-thought/reasoning-gym, version 0.1.25
Licence: Apache-2.0
Rows: train 1000, test 500
"""

from lagbench import Task, read_rows, task

from .reasoning_gym import SIZES, generated

MADE = "generated"


@task
def chain_sum(*, data: str = MADE) -> Task:
    """Sums and differences of several numbers; `data` is a local folder, or generated (extra `generated`)."""
    if data == MADE:
        return generated("chain_sum")
    train, test = (
        [row.problem() for row in read_rows(data, "rg_chain_sum", split, rows=SIZES[split])]
        for split in ("train", "test")
    )
    return Task(train=train, test=test, answers="number")
