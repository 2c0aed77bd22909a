"""Prompt forms: one text for training and evaluation, a version for every text."""

import hashlib

import pytest

from lagbench import InputError
from lagbench.harness.config import Run, load_suite
from lagbench.harness.prompts import FORMS, prompt_form
from lagbench.harness.registry import load_task
from lagbench.harness.types import Task

TEXTS = {
    "plain@1": None,
    "question@1": "bf08",
    "boxed@1": "65a9",
    "chat@1": "65a9",
}  # sha256; another text wants another version
TASK = Task([], [], prompt="Q: {question} {x}\nA:", stops=("\nQ:",))


def test_a_text_that_changes_gets_a_new_version() -> None:
    found = {f.name: f.template and hashlib.sha256(f.template.encode()).hexdigest()[:4] for f in FORMS.values()}
    assert found == TEXTS


def test_plain_is_the_task_s_own_prompt_with_its_stop_strings() -> None:
    form = prompt_form("plain")
    assert form.text(TASK, "f{a} = {question}?") == "Q: f{a} = {question}? {x}\nA:"
    assert form.stops(TASK) == ("\nQ:",) and not form.chat


@pytest.mark.parametrize("name", ["boxed", "chat"])
def test_boxed_asks_for_a_box_and_ends_by_itself(name: str) -> None:
    form = prompt_form(name)
    assert form.text(TASK, "1+1?").startswith("1+1?\nPlease reason step by step")
    assert prompt_form("question").text(TASK, "1+1?") == "1+1?"
    assert "within \\boxed{}." in form.text(TASK, "1+1?") and form.stops(TASK) == ()
    assert form.chat == (name == "chat")


def test_a_run_names_the_version() -> None:
    assert load_suite("quick", ["prompt=boxed"]).prompt == "boxed@1" == prompt_form("boxed@1").name
    runs = [Run(objective=None, lag="sync", seed=0, prompt=name) for name in ("plain", "plain@1", "boxed")]
    assert runs[0].id == runs[1].id != runs[2].id


@pytest.mark.parametrize("name", ["fancy", "plain@2", "", "@1"])
def test_unknown_forms_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected one of plain@1, question@1, boxed@1, chat@1"):
        prompt_form(name)
    with pytest.raises(InputError, match="expected one of plain@1"):
        load_suite("quick", [f"prompt={name}"])


def test_the_prompt_of_every_task_has_a_place_for_the_question() -> None:
    assert Task([], []).prompt.count("{question}") == 1
    assert load_task("chain", {}).prompt == "{question}"
