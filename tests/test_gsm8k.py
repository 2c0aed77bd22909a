"""GSM8K: how its answers are stated, and what a model has to be able to spell."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from lagbench import InputError, Problem, Task
from lagbench.harness.config import load_suite
from lagbench.harness.prompts import prompt_form
from lagbench.harness.registry import load_task
from lagbench.harness.sweep.expand import check
from lagbench.harness.verify import Verifier

STATED = {  # what a response says, and the number that it is; None where it is none, or not that one
    "48 / 2 = 24\n#### 72": "72",
    "#### 72\nThat is all 3.": "72",
    "#### 1\nno:\n#### 2": "2",
    "#### 72 clips": "72",
    "#### 72 dollars per day": "72",
    "#### $1,200.50 in all": "1200.5",
    "#### -3.": "-3",
    "####\n\n5 more": "5",
    "#### 3/4 cup": "0.75",
    "#### 12%": "12",
    r"so \boxed{7} it is": "7",
    r"so $\boxed{\$72.50 \text{ in all}}$.": "72.5",
    r"\boxed{72\text{ clips}}": "72",
    r"\boxed{72\ \text{clips}}": "72",
    r"\boxed{12\%}": "12",
    r"\boxed{\frac{1}{2}}": "0.5",
    "<think>#### 3</think>\\boxed{4}": "4",
    "<think>\\boxed{3}</think>\n#### 4": "4",
    r"\boxed{4} and so #### 5": "4",
    "the answer is 7": None,
    "####": None,
    "#### x": None,
    "#### 5x": None,
    "#### 5 x": None,
    "#### 5 or 6": None,
    "#### 5 or more": None,
    "#### 5 to 6": None,
    "#### 5 million": None,
    "#### 8 hundred": None,
    "#### 5 dozen": None,
    "#### 5 squared": None,
    "#### 5 + x": None,
    "#### 5 = x": None,
    "#### 12 / x": None,
    r"\boxed{5\pi}": None,
    r"\boxed{5 - x}": None,
    r"\boxed{2\sqrt{x}}": None,
}


@pytest.mark.parametrize(("response", "number"), STATED.items())
def test_numbers_and_what_is_none(response: str, number: str | None) -> None:
    """Words behind a number leave it as it is; whatever makes another number of it does not count as that number."""
    golds = [number] if number else ["5", "8", "12", "2", "7", "6"]
    with Verifier(Task((), (), answers="number")) as verifier:
        verdicts = verifier.grade([Problem("p", "?", gold, "made") for gold in golds], [response] * len(golds))
    assert [verdict.correct for verdict in verdicts] == [number is not None] * len(golds)


@pytest.mark.parametrize("name", ["gsm8k", "svamp", "multiarith"])
def test_word_problems_have_no_rule_of_their_own(name: str, shared_data: Path) -> None:
    task = load_task(name, {"data": str(shared_data)})
    assert (task.extract, task.check, task.answers) == (None, None, "number")


def test_every_real_gold_in_both_forms(shared_data: Path) -> None:
    """As the plain prompt asks for it, and as the boxed and chat prompts do; the next problem's is wrong."""
    task = load_task("gsm8k", {"data": str(shared_data)})
    problems = [*task.train, *task.test]
    assert task.train[0].answer == "72" and "Natalia" in task.train[0].question
    wrong = [(one, other) for one, other in pairwise(problems) if float(one.answer) != float(other.answer)]
    with Verifier(task) as verifier:
        for form in ("so\n#### {}", "so\n#### ${} in all", r"so \boxed{{{}}}", r"so \[\boxed{{{}\text{{ clips}}}}\]"):
            assert all(v.correct for v in verifier.grade(problems, [form.format(p.answer) for p in problems]))
            verdicts = verifier.grade([one for one, _ in wrong], [form.format(other.answer) for _, other in wrong])
            assert not any(v.correct for v in verdicts)


def test_prompts(shared_data: Path) -> None:
    task = load_task("gsm8k", {"data": str(shared_data)})
    question = task.test[0].question
    plain, boxed = (prompt_form(name).text(task, question) for name in ("plain", "boxed"))
    assert plain.endswith(f"Problem: {question}\nSolution:") and plain.count("####") == 2
    assert boxed.startswith(question) and "\\boxed" in boxed


def test_a_model_that_cannot_spell_the_prompt_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [
        {"problem": f"Ten times {i}?", "answer": 10 * i, "split": split} for i in (1, 2) for split in ("train", "test")
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    changes = ["model=tiny", "task=jsonl", f"data={path}", "prompt=plain", "eval_problems=2", "max_tokens=8"]
    with pytest.raises(InputError, match="the model's tokenizer reads 'Solve the problem"):
        check(load_suite("gsm8k", changes))
