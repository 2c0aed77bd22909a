r"""Problems that reasoning-gym's generators make, written `reasoning_gym:NAME`, as in `reasoning_gym:gcd`.

    {"question": "Find the Greatest Common Divisor (GCD) of these numbers: 12, 18. ...", "answer": "6"}

Only generators whose answers are all numbers: those are compared as everywhere else. What a generator's own scorer
would accept is never asked (that of `countdown` evaluates a model's text as Python).

Item i is drawn from Random(seed + i), so that two seeds closer than the sizes share items. Here training starts at
20 000 000 and the test at 10 000 000; questions that come twice, or are in the test, are passed over.

Source: arXiv 2505.24760, github.com/open-thought/reasoning-gym, version 0.1.25
Licence: Apache-2.0
Rows: train 1000, test 500
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

from lagbench import InputError, Problem, Task, task

SEEDS, SIZES = {"train": 20_000_000, "test": 10_000_000}, {"train": 1000, "test": 500}
TRIED = 10  # items for each one wanted; a generator that makes fewer different ones is too small
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@task
def reasoning_gym(*, data: str) -> Task:
    """Problems of a generator whose answers are numbers; `data` is its name (needs the extra `generated`)."""
    return generated(data)


def generated(name: str) -> Task:
    """Held-out problems of a generator, and others to train on."""
    seen: set[str] = set()
    test, train = (list(islice(_new(name, split, seen), SIZES[split])) for split in ("test", "train"))
    if len(train) < SIZES["train"]:
        raise InputError(
            f"reasoning_gym:{name}: too few different problems ({len(test)} for the test, then {len(train)}); "
            f"expected {SIZES['test']} and {SIZES['train']}; take another generator"
        )
    return Task(train=train, test=test, answers="number")


def _new(name: str, split: str, seen: set[str]) -> Iterator[Problem]:
    """Problems whose question has not been seen, which are noted there."""
    for index, item in enumerate(_items(name, split)):
        question, answer = item["question"], item["answer"]
        if not _NUMBER.fullmatch(answer):
            raise InputError(f"reasoning_gym:{name}: the answer {answer[:60]!r} is no number; take another generator")
        if question not in seen:
            seen.add(question)
            yield Problem(f"rg_{name}-{split}-{index:05}", question, answer, task=f"rg_{name}")


def _items(name: str, split: str) -> Iterator[Mapping[str, Any]]:
    try:
        from reasoning_gym import create_dataset
        from reasoning_gym.factory import DATASETS
    except ImportError:
        raise InputError(
            f"reasoning_gym:{name}: made by a package that is not here; run: pip install 'lagbench[generated]'"
        ) from None
    if name not in DATASETS:
        near = ", ".join(get_close_matches(name, DATASETS)) or "gcd, lcm, chain_sum"
        raise InputError(f"reasoning_gym:{name}: no such generator; there are {len(DATASETS)}, such as {near}")
    return iter(create_dataset(name, seed=SEEDS[split], size=TRIED * SIZES[split]))
