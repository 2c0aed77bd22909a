"""`lagbench check TASK`: what a task promises, on real data and on tasks broken on purpose."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lagbench import InputError, Problem, Task
from lagbench.harness.check import Finding, check_task
from lagbench.harness.check.named import check_all, subjects
from lagbench.harness.cli import app

TASKS = ["gsm8k", "svamp", "multiarith", "math500", "aime24", "aime25", "amc23", "olympiadbench", "countdown"]
NOTES = {
    ("multiarith", "questions"): "20 are asked twice, as multiarith-0040 and multiarith-0050; they count twice",
    ("math500", "next_golds"): "1 of 497 that differ pass for right, as 'x=5' for math500-test-algebra-1837's '5'",
}


def made(question: str, answer: str, id: str = "") -> Problem:
    return Problem(id or question, question, answer, "made")


@pytest.fixture
def task() -> Task:
    """Nothing is wrong with it."""
    return Task(train=[made("1 + 1?", "2")], test=[made("2 + 1?", "3"), made("2 - 1?", "1")], answers="number")


def found(task: Task) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_task("made", task, lambda verdicts: None)}


def test_real_tasks(shared_data: Path) -> None:
    """Every gold answer is right and the next one is wrong; what is known of the sets is noted, and no more."""
    findings = list(check_all(subjects([*TASKS, "chain_sum", "chain"], str(shared_data))))
    assert not [finding for finding in findings if finding.state == "FAILED"]
    assert {(f.name, f.check): f.text for f in findings if f.state == "note"} == NOTES
    assert findings[-1] == Finding("between tasks", "overlaps", "ok", "no question is in two of them")
    golds = {finding.name: finding.text for finding in findings if finding.check == "golds"}
    assert golds["gsm8k"] == "all 8792 are right" and golds["olympiadbench"] == "all 675 are right"


def test_a_sound_task(task: Task) -> None:
    checks = found(task)
    assert [finding.state for finding in checks.values()] == ["ok"] * 6
    assert checks["rows"].text.startswith("train 1, test 2, sha256 ")
    assert (checks["golds"].text, checks["next_golds"].text) == ("all 3 are right", "all 2 that differ are wrong")


@pytest.mark.parametrize(
    ("changes", "check", "state", "text"),
    [
        ({"test": [made("5?", "5", "1 + 1?")]}, "ids", "FAILED", "1 ids name several problems, as 1 + 1?"),
        (
            {"test": [made("Is  1 + 1", "2")], "train": [made("is 1+1?", "2")]},
            "disjoint",
            "FAILED",
            "1 test questions are trained on, as Is  1 + 1, which is is 1+1?",
        ),
        ({"train": [made("1 + 1?", "2"), made("1 - 1?", "0")]}, "questions", "ok", "none is asked twice"),
        (
            {"train": [made("1 + 1?", "2", "a"), made("1+1", "2.0", "b")]},
            "questions",
            "note",
            "1 are asked twice, as a and b; they count twice",
        ),
        (
            {"train": [made("1 + 1?", "2", "a"), made("1+1", "3", "b")]},
            "questions",
            "FAILED",
            "one question, two answers: a's '2' and b's '3'",
        ),
        (
            {"extract": lambda response: None},
            "golds",
            "FAILED",
            "3 of 3 are wrong, as 1 + 1?'s '2': no answer was found",
        ),
        ({"answer_form": "#{answer}"}, "golds", "FAILED", "3 of 3 are wrong"),
        ({"stops": ("oxed",)}, "golds", "FAILED", "3 of 3 are wrong, as 1 + 1?'s '2': no answer was found"),
        (
            {"check": lambda problem, answer: answer != "3"},
            "golds",
            "FAILED",
            "1 of 3 are wrong, as 2 + 1?'s '3': read as",
        ),
        (
            {"check": lambda problem, answer: True},
            "next_golds",
            "FAILED",
            "2 of 2 that differ pass for right, as '3' for",
        ),
        ({"test": [made("4?", "")]}, "golds", "note", "1 problems state none; the other 1 are right"),
        ({"train": [], "test": []}, "rows", "FAILED", "no problems"),
        (
            {"extract": lambda response: str(1 / len(response))},
            "own_code",
            "FAILED",
            "extract('') raised ZeroDivisionError: division by zero",
        ),
        (
            {"extract": lambda response: len(response)},
            "own_code",
            "FAILED",
            "extract('\\\\boxed{2}') gave 9; expected text, or None where there is no answer",
        ),
        (
            {"check": lambda problem, answer: problem.facts["gold"] == answer},
            "own_code",
            "FAILED",
            "check of 1 + 1?'s '2' raised KeyError: 'gold'",
        ),
        ({"check": lambda problem, answer: problem.answer == answer}, "own_code", "ok", "extract and check take"),
    ],
)
def test_broken_tasks(task: Task, changes: dict, check: str, state: str, text: str) -> None:
    finding = found(dataclasses.replace(task, **changes))[check]
    assert finding.state == state and finding.text.startswith(text)


def test_nothing_is_graded_with_broken_code(task: Task) -> None:
    assert list(found(dataclasses.replace(task, extract=lambda response: 5)))[-1] == "own_code"


def test_different_texts_that_pass_are_shown_and_many_are_an_error(task: Task) -> None:
    words = [made(f"{i}?", answer) for i, answer in enumerate(["a"] * 150 + ["b"] * 150)]
    lenient = dataclasses.replace(task, train=words, test=[], check=lambda problem, answer: True)
    assert found(lenient)["next_golds"].state == "FAILED"  # the only pair that differs
    spread = [made(f"{i}?", f"word{i}") for i in range(300)]
    once = dataclasses.replace(task, train=spread, test=[], check=lambda p, a: a == p.answer or p.answer == "word7")
    assert found(once)["next_golds"].state == "note"
    numbers = [made(f"{i}?", str(i)) for i in range(300)]
    wrong = dataclasses.replace(task, train=numbers, test=[], check=lambda p, a: a == p.answer or p.answer == "7")
    assert found(wrong)["next_golds"].state == "FAILED"  # 8 is never 7
    assert found(once)["next_golds"].text == "1 of 299 that differ pass for right, as 'word8' for 7?'s 'word7'"


@pytest.fixture
def two(tmp_path: Path) -> Callable[[str], str]:
    """A file of one problem, as a task."""

    def write(name: str, question: str = "Two and two?") -> str:
        (tmp_path / name).write_text(json.dumps({"problem": question, "answer": "4", "id": name}))
        return f"jsonl:{tmp_path / name}"

    return write


def test_overlaps_between_tasks(two: Callable[[str], str]) -> None:
    one, other = two("one"), two("other", "two, and two")
    findings = list(check_all(subjects([one, other], None)))
    assert findings[-1] == Finding(
        "between tasks", "overlaps", "note", f"{one} test and {other} test share 1 questions, as one and other"
    )
    assert "between tasks" not in {finding.name for finding in check_all(subjects([one], None))}


def test_command(two: Callable[[str], str]) -> None:
    task = two("one")
    result = CliRunner().invoke(app, ["check", task, "policy_gradient"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert not CliRunner().invoke(app, ["check", task]).stdout.startswith(task)  # one needs no heading
    assert lines[0] == task and lines[1].startswith("ok      rows              train 0, test 1, sha256 ")
    assert "policy_gradient" in lines and "ok      golds             all 1 are right" in lines


def test_command_on_a_broken_task(tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(2 * (json.dumps({"problem": "2?", "answer": "2", "id": "a"}) + "\n"))
    result = CliRunner().invoke(app, ["check", f"jsonl:{path}", "--json"])
    assert result.exit_code == 1
    states = {finding["check"]: finding["state"] for finding in json.loads(result.stdout)}
    assert states["ids"] == "FAILED" and states["questions"] == "note" and states["golds"] == "ok"


def test_command_on_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    result = CliRunner().invoke(app, ["check", f"jsonl:{tmp_path / 'empty.jsonl'}"])
    assert result.exit_code == 1 and result.stdout.startswith("FAILED  rows              no problems")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stops": ("",)}, r"stops=\(''\,\) is not valid: expected strings, none of them empty"),
        ({"stops": "Problem"}, "stops='Problem' is not valid"),
        ({"prompt": "Question:"}, r"prompt='Question:' is not valid: expected \{question\} in it"),
        ({"answer_form": "####"}, r"answer_form='####' is not valid: expected \{answer\} in it"),
        ({"answers": "numbers"}, "answers='numbers' is not valid: expected number or math"),
    ],
)
def test_what_no_task_can_be(task: Task, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(task, **changes)


def test_names() -> None:
    assert set(subjects(["chain", "grpo"], None)) == {"chain", "grpo"}
    with pytest.raises(InputError, match=r"no objective and no task is called 'gsm9k' .did you mean 'gsm8k'"):
        subjects(["gsm9k:folder"], None)
    with pytest.raises(InputError, match="data=folder: no such folder"):
        subjects(["chain", "svamp"], "folder")
