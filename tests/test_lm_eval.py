"""The tasks for lm-eval: what they measure, by value, and every way in which lm-eval could silently measure another."""

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TQDM_DISABLE", "1")
import lm_eval.api.task
import lm_eval.tasks
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, CachingLM
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from lagbench import InputError
from lagbench.harness.evaluate.lm_eval_names import PREFIX, SHARED, TASK_FILES
from lagbench.harness.prompts import prompt_form
from lagbench.harness.registry import TASKS, load_task

CHAIN = load_task("chain", {}).test
RIGHT = [f"1;1#{problem.answer}" for problem in CHAIN[:3]]
WRONG, OTHER, SILENT = "1;1#99", "1;1#88", "1;1"


class Parrot(LM):
    """Gives each problem the canned answers of its position one after the other, and starts over behind the last."""

    tokenizer_name = "none"

    def __init__(self, canned: Sequence[Sequence[str]]):
        super().__init__()
        self.canned, self.given, self.prompts = canned, Counter(), []

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Instance) -> str:
        index = request.doc["index"]
        self.given[index] += 1
        self.prompts.append(request.args[0])
        return self.canned[index][(self.given[index] - 1) % len(self.canned[index])]

    def loglikelihood(self, requests: Sequence[Instance]) -> Any:
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def manager(**metadata: Any) -> TaskManager:
    return TaskManager(include_path=str(TASK_FILES), include_defaults=False, metadata=metadata)


def evaluated(lm: Any, name: str = "chain", limit: int | None = 3, **metadata: Any) -> tuple[dict, list[dict]]:
    """A task's row of lm-eval's results, and its samples."""
    results = evaluate(lm, manager(**metadata).load(PREFIX + name), limit=limit)
    return results["results"][PREFIX + name], results["samples"][PREFIX + name]


def jsonl(path: Path, *rows: tuple[str, str]) -> str:
    path.write_text("".join(json.dumps({"problem": problem, "answer": answer}) + "\n" for problem, answer in rows))
    return str(path)


def test_measures_by_hand() -> None:
    """All right; one of four right, the others agree; one right, one silent, two wrong in different ways."""
    canned = [[RIGHT[0]] * 4, [WRONG, RIGHT[1], WRONG, WRONG], [RIGHT[2], OTHER, WRONG, SILENT]]
    row, samples = evaluated(Parrot(canned), samples=4)
    expected = {
        "pass@1": [1, 1 / 4, 1 / 4],
        "pass@2": [1, 1 / 2, 1 / 2],
        "pass@4": [1, 1, 1],
        "maj@2": [1, 1 / 4, 1 / 3],  # of 6 pairs, 3 hold the right one: ties with a wrong one, wins over the silent one
        "maj@4": [1, 0, 1 / 3],  # three answers with a vote each: one of them is drawn
        "unparsed": [0, 0, 1 / 4],
        "timeout": [0, 0, 0],
    }
    for name, values in expected.items():
        mean = sum(values) / 3
        error = sqrt(sum((value - mean) ** 2 for value in values) / 2 / 3)
        assert row[f"{name},all"] == pytest.approx(mean), name
        assert row[f"{name}_stderr,all"] == pytest.approx(error), name
        assert [sample[name] for sample in samples] == pytest.approx(values), name
    assert row["correct,all"] == 6
    assert [sample["correct"] for sample in samples][1:] == [[False, True, False, False], [True, False, False, False]]
    assert {name.partition(",")[0] for name in row if "_stderr" not in name} - set(expected) == {
        "name", "alias", "sample_len", "correct"
    }  # fmt: skip


def test_all_samples_reach_the_verifier() -> None:
    """With lm-eval's default filter one text would come, and its characters be scored: 0 without a word."""
    (task,) = manager(samples=4).load("lagbench_chain")["tasks"].values()
    doc = task.eval_docs[0]
    assert task.config.process_results(doc, [[RIGHT[0]] * 4])["pass@1"] == 1
    with pytest.raises(InputError, match="one response instead of all of them"):
        task.config.process_results(doc, [RIGHT[0]])


def test_responses_are_not_served_from_a_cache(tmp_path: Path) -> None:
    """--use_cache twice: neither the samples of a problem nor those of a second run are the first one's."""
    canned = [[RIGHT[0], WRONG, SILENT]]
    for start in range(2):
        parrot = Parrot(canned)
        parrot.given[0] = start
        _, (sample,) = evaluated(CachingLM(parrot, str(tmp_path / "cache.db")), limit=1, samples=2)
        assert sample["resps"] == [canned[0][start : start + 2]]


def test_requests_are_not_served_from_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--cache_requests: its key holds neither data nor samples, so edited problems would be asked in their old form."""
    monkeypatch.setattr("lm_eval.caching.cache.PATH", str(tmp_path))
    for name, samples in (("a", 3), ("b", 2)):
        data = jsonl(tmp_path / f"{name}.jsonl", (f"What is {name}?", "5"))
        parrot = Parrot([["#### 5"]])
        evaluate(parrot, manager(data=data, samples=samples).load("lagbench_jsonl"), cache_requests=True)
        assert len(parrot.prompts) == samples and f"What is {name}?" in parrot.prompts[0]


@pytest.mark.parametrize("prompt", ["plain", "boxed", "chat"])
def test_responses_stop_where_the_prompt_form_says(tmp_path: Path, prompt: str) -> None:
    """Not at lm-eval's default, a blank line, which would cut chains of thought."""
    data = jsonl(tmp_path / "own.jsonl", ("1+1", "2"))
    for name, options in (("chain", {}), ("jsonl", {"data": data})):
        (task,) = manager(prompt=prompt, **options).load(PREFIX + name)["tasks"].values()
        stops = prompt_form(prompt).stops(load_task(name, options))
        assert task.config.generation_kwargs["until"] == list(stops)
        assert bool(stops) == (name == "jsonl" and prompt == "plain")


def test_sampling_is_stated_in_full() -> None:
    """What is left out is filled in by the backend, or by the model's generation_config.json: top_k 50, say."""
    (task,) = manager().load("lagbench_chain")["tasks"].values()
    assert task.config.generation_kwargs == {
        "do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0,
        "until": [], "max_gen_toks": 16,
    }  # fmt: skip
    assert task.config.num_fewshot == 0  # else --num_fewshot would put other problems of the test set before a question


def test_chosen_documents_keep_their_place() -> None:
    """--samples renumbers what it chooses; the noise of a problem, and its gold answer, must not move with it."""
    canned = [[WRONG]] * 512
    canned[7], canned[9] = [f"#{CHAIN[7].answer}"], [f"#{CHAIN[9].answer}"]
    parrot, tasks = Parrot(canned), manager(samples=2).load("lagbench_chain")
    results = evaluate(parrot, tasks, samples={"lagbench_chain": [7, 9]})
    assert results["results"]["lagbench_chain"]["pass@1,all"] == 1
    assert dict(parrot.given) == {7: 2, 9: 2}


@pytest.mark.parametrize("samples", [1, 3, 6])
def test_no_k_is_larger_than_the_number_of_samples(samples: int) -> None:
    """The formula of pass@k would give 1 there."""
    row, _ = evaluated(Parrot([[WRONG]] * 3), samples=samples)
    ks = [int(name.partition("@")[2].partition(",")[0]) for name in row if "@" in name and "_stderr" not in name]
    assert max(ks) <= samples < 2 * max(ks)
    assert all(row[name] == 0 for name in row if name.startswith("pass@") and name.endswith(",all"))


def test_a_filter_that_drops_samples_leaves_out_their_k() -> None:
    config = load_yaml(SHARED) | {
        "task": "lagbench_dropping",
        "dataset_name": "chain",
        "filter_list": [{"name": "two", "filter": [{"function": "take_first_k", "k": 2}]}],
    }
    results = evaluate(Parrot([[WRONG]] * 3), manager(samples=4).load(config), limit=3)["results"]["lagbench_dropping"]
    assert "pass@2,two" in results and "pass@4,two" not in results


@pytest.mark.parametrize("samples", [0, -1, "many", 2.5, 1001])
def test_samples_have_to_be_a_number(samples: object) -> None:
    with pytest.raises(InputError, match=r"samples=.* is not valid: expected a whole number from 1 to 1000"):
        manager(samples=samples).load("lagbench_chain")


def test_chat_prompts_need_the_chat_template_and_others_forbid_it() -> None:
    for prompt, applied, expected in (("chat", False, "needs"), ("boxed", True, "must be without")):
        tasks = manager(prompt=prompt).load("lagbench_chain")
        with pytest.raises(InputError, match=f"prompt={prompt}@1 {expected} --apply_chat_template"):
            evaluate(Parrot([[WRONG]] * 3), tasks, limit=1, apply_chat_template=applied)


def test_evaluation_outside_the_main_thread(tmp_path: Path) -> None:
    """math-verify's own time limits raise there; ours are those of a child process."""
    data, found = jsonl(tmp_path / "own.jsonl", ("x?", "$x+1$")), []
    lm = Parrot([[r"\boxed{1+x}", r"\boxed{x}"]])
    thread = threading.Thread(target=lambda: found.append(evaluated(lm, "jsonl", None, data=data, samples=2)[0]))
    thread.start()
    thread.join()
    assert found[0]["pass@1,all"] == 0.5


def test_every_built_in_task_has_a_file_of_its_name() -> None:
    built_in = {name for name, entry in TASKS.all().items() if entry.module.startswith("lagbench.tasks.")}
    built_in -= {"math"}  # what it holds out is math500; here that is the name of the group
    found = manager()
    assert set(found.all_subtasks) == {PREFIX + name for name in built_in}
    for name in built_in:
        config = load_yaml(TASK_FILES / f"{PREFIX}{name}.yaml", resolve_func=False)
        assert (config["task"], config["dataset_name"]) == (PREFIX + name, name)
    members = ["math500", "aime24", "aime25", "amc23", "minerva_math", "olympiadbench"]
    assert found.all_groups == ["lagbench_math"]
    assert found.task_index["lagbench_math"].cfg["task"] == [PREFIX + name for name in members]


def test_lm_evals_folder_is_no_task_module_and_hides_nothing() -> None:
    assert "lagbench.tasks.lm_eval" not in {entry.module for entry in TASKS.all().values()}
    assert lm_eval.__file__ and "site-packages" in lm_eval.__file__
    assert not (
        TASK_FILES / "__init__.py"
    ).exists()  # a package there would be imported as a task, and in tasks/ hide lm_eval


def test_the_lm_eval_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """`lm_eval --model hf` on the embedded model. Its own 14 000 tasks stay unread: that takes 14 s."""
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", partial(TaskManager, include_defaults=False))
    model = TASK_FILES.parent.parent / "harness" / "models" / "tiny"
    command = f"lm_eval --model hf --model_args pretrained={model} --include_path {TASK_FILES} --tasks lagbench_chain"
    options = f"--device cpu --limit 16 --batch_size 64 --metadata samples=4 --output_path {tmp_path} --log_samples"
    monkeypatch.setattr(sys, "argv", [*command.split(), *options.split()])
    cli_evaluate()
    printed = capsys.readouterr().out
    for name in ("pass@1", "pass@2", "pass@4", "maj@4"):
        assert name in printed
    (path,) = tmp_path.rglob("results_*.json")
    row = json.loads(path.read_text())["results"]["lagbench_chain"]
    assert 0.05 < row["pass@1,all"] < 0.5 < row["pass@4,all"] and row["pass@1_stderr,all"] > 0
    (path,) = tmp_path.rglob("samples_lagbench_chain_*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["doc"]["index"] for line in lines] == list(range(16)) and len(set(lines[0]["resps"][0])) > 1
