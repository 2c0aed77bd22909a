"""Generated tasks: the same problems everywhere, disjoint, and compared as numbers only."""

from pathlib import Path

import pytest

from lagbench import InputError
from lagbench.harness.registry import load_task

pytest.importorskip("reasoning_gym", reason="the extra `generated` is not here: generated tasks are not made")


def test_what_is_made_equals_the_files(shared_data: Path) -> None:
    made, read = load_task("chain_sum", {}), load_task(f"chain_sum:{shared_data}", {})
    assert (made.train, made.test) == (read.train, read.test)


@pytest.mark.parametrize("generator", ["chain_sum", "gcd", "leg_counting"])
def test_made_problems_are_disjoint(generator: str) -> None:
    task = load_task(f"reasoning_gym:{generator}", {})
    questions = [problem.question for problem in (*task.train, *task.test)]
    assert (len(task.train), len(task.test), len(set(questions))) == (1000, 500, 1500)
    assert task.test[0].id == f"rg_{generator}-test-00000" and task.answers == "number"


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ("countdown", "reasoning_gym:countdown: the answer '.*' is no number; take another generator"),
        ("gdc", "reasoning_gym:gdc: no such generator; there are .*, such as gcd"),
    ],
)
def test_refused_generators(generator: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_task(f"reasoning_gym:{generator}", {})


def test_a_generator_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lagbench.tasks.reasoning_gym.TRIED", 1)
    with pytest.raises(
        InputError, match=r"too few different problems \(500 for the test, then 98\d\); expected 500 and 1000"
    ):
        load_task("reasoning_gym:chain_sum", {})
