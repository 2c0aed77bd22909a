"""GSM8K: how its answers are stated, and what a model has to be able to spell."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from lagbench import InputError
from lagbench.harness.config import load_suite
from lagbench.harness.prompts import prompt_form
from lagbench.harness.registry import load_task
from lagbench.harness.sweep.expand import check
from lagbench.harness.verify import Verifier
from lagbench.tasks.gsm8k import final_answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("48 / 2 = 24\n#### 72", "72"),
        ("#### 72\nThat is all 3.", "72"),
        ("#### 1\nno:\n#### 2", "2"),
        ("the answer is 7", None),
        ("####", None),
        ("#### $1,200.50 in all", "1,200.50"),
        ("#### -3.", "-3"),
        ("#### x", "x"),
        ("####\n\n5 more", "5"),
        ("#### 3/4 cup", "3/4"),
        ("#### 5 or 6", "5 or 6"),
        ("#### 5x", "5x"),
        (r"so \boxed{7} it is", "7"),
        (r"so $\boxed{\$72.50 \text{ in all}}$.", "72.50"),
        (r"\boxed{\text{about } 7}", r"\text{about } 7"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("<think>#### 3</think>\\boxed{4}", "4"),
        ("<think>\\boxed{3}</think>\n#### 4", "4"),
        (r"\boxed{4} and so #### 5", "4"),
    ],
)
def test_answers(response: str, answer: str | None) -> None:
    assert final_answer(response) == answer


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
