"""`lagbench eval`: lm-eval on LagBench's sampler draws what a run's own evaluation draws, and disturbs nobody."""

import json
import os
import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

os.environ.setdefault("TQDM_DISABLE", "1")
from filelock import FileLock
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import lagbench.harness.cli.evaluating as cli
from lagbench import InputError, Problem, Task
from lagbench.harness import extras, store
from lagbench.harness.evaluate import suite
from lagbench.harness.evaluate.attempts import Exam, attempts
from lagbench.harness.evaluate.lm_eval_model import SamplerLM, Sampling
from lagbench.harness.evaluate.lm_eval_tasks import Evaluation, load_tasks
from lagbench.harness.evaluate.responses import ResponseFile
from lagbench.harness.evaluate.suite import make_lm, run_evaluation
from lagbench.harness.prompts import prompt_form
from lagbench.harness.registry import TASKS, load_task
from lagbench.harness.rollout.text import Codec
from lagbench.harness.verify import Verifier

SMALL = Evaluation("tiny", ("chain",), samples=4, prompt="plain", max_tokens=None, temperature=1.0, limit=12)
BATCH = 16  # responses: three batches


def carried_out(asked: Evaluation, folder: Path, on_known: Callable[[int, int], object] = print) -> dict[str, Any]:
    return run_evaluation(asked, folder, BATCH, {"command": "a test"}, on_known)


def samples_of(folder: Path, task: str = "lagbench_chain") -> list[dict[str, Any]]:
    (path,) = folder.rglob(f"samples_{task}_*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    carried_out(SMALL, folder)
    return folder


def test_it_draws_what_a_run_draws(finished: Path) -> None:
    """The same texts, lengths and verdicts as a run's own evaluation, bit for bit."""
    task = load_task("chain", {})
    lm = make_lm(SMALL, list(load_tasks(SMALL)["tasks"].values()), ResponseFile(finished / "none"), BATCH, print)
    with Verifier(task) as verifier:
        codec = Codec(lm.codec.tokenizer, task, prompt_form("plain"))
        exam = Exam("chain", task.test[:12], lm.make_sampler(Sampling(16, 1.0, ())), codec, verifier)
        own = list(attempts(exam, SMALL.samples, BATCH))
    drawn = ResponseFile(finished / suite.RESPONSES).found.values()
    for (problem, made), sample, responses in zip(own, samples_of(finished), drawn, strict=True):
        assert sample["doc"]["id"] == responses.problem == problem.id
        assert sample["resps"][0] == responses.texts == [attempt.text for attempt in made]
        assert sample["correct"] == [attempt.verdict.correct for attempt in made]
        assert (responses.tokens, responses.stopped) == ([a.tokens for a in made], [a.stopped for a in made])


def test_nobodys_random_numbers_move(tmp_path: Path) -> None:
    """simple_evaluate() would seed all three; drawing responses has an address for every number."""

    def states() -> list[Any]:
        return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]

    before = states()
    carried_out(replace(SMALL, limit=2), tmp_path)
    assert states() == before


def test_lm_evals_files(finished: Path) -> None:
    (path,) = finished.rglob("results_*.json")
    assert path.parent.name == "tiny"
    results = json.loads(path.read_text())
    assert {
        "results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "config", "date",
        "lm_eval_version", "task_hashes", "model_source", "model_name",
    } <= set(results)  # fmt: skip
    row, samples = results["results"]["lagbench_chain"], samples_of(finished)
    assert results["n-samples"]["lagbench_chain"] == {"original": 512, "effective": 12}
    assert row["correct,all"] == sum(sum(sample["correct"]) for sample in samples)
    assert row["pass@1,all"] == pytest.approx(np.mean([sample["pass@1"] for sample in samples]))
    assert results["config"]["command"] == "a test" and results["config"]["samples"] == 4
    for name in ("truncated", "tokens"):
        assert {f"{name},all", f"{name}_stderr,all"} <= set(row)
    assert 3 < row["tokens,all"] < 16


def test_truncated_responses_are_counted(tmp_path: Path) -> None:
    results = carried_out(replace(SMALL, max_tokens=4, limit=4), tmp_path)
    row, drawn = results["results"]["lagbench_chain"], ResponseFile(tmp_path / suite.RESPONSES).found.values()
    cut = [not stopped for responses in drawn for stopped in responses.stopped]
    assert row["truncated,all"] == np.mean(cut) > 0.5
    assert all(length == 4 for responses in drawn for length in responses.tokens if not all(responses.stopped))


def test_an_interrupted_evaluation_goes_on(tmp_path: Path, finished: Path) -> None:
    """Killed in the middle of a line: what was drawn before is kept, and nothing is different in the end."""

    def interrupt(known: int, total: int) -> None:
        if known == 2 * BATCH:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carried_out(SMALL, tmp_path, interrupt)
    path = tmp_path / suite.RESPONSES
    path.write_bytes(path.read_bytes()[:-30])
    known: list[int] = []
    carried_out(SMALL, tmp_path, lambda now, total: known.append(now))
    assert known[0] == 2 * BATCH - SMALL.samples and known[-1] == 12 * SMALL.samples
    assert samples_of(tmp_path) == samples_of(finished)
    again: list[int] = []
    carried_out(SMALL, tmp_path, lambda now, total: again.append(now))
    assert again == [12 * SMALL.samples]


def test_other_settings_are_other_responses(tmp_path: Path, finished: Path) -> None:
    for changes in ({"temperature": 0.5}, {"samples": 2}, {"max_tokens": 8}):
        folder, known = tmp_path / "-".join(changes), list[int]()
        folder.mkdir()
        (folder / suite.RESPONSES).write_bytes((finished / suite.RESPONSES).read_bytes())
        carried_out(replace(SMALL, limit=4, **changes), folder, lambda now, total, known=known: known.append(now))
        assert known[0] == 0


def test_another_device_draws_other_responses(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It rounds differently."""
    made = suite.SamplerLM
    monkeypatch.setattr(suite, "SamplerLM", lambda *given: replace(made(*given), numerics="other"))
    (tmp_path / suite.RESPONSES).write_bytes((finished / suite.RESPONSES).read_bytes())
    known: list[int] = []
    carried_out(replace(SMALL, limit=2), tmp_path, lambda now, total: known.append(now))
    assert known[0] == 0


def test_a_folder_is_for_one_evaluation(tmp_path: Path, finished: Path) -> None:
    """Two in one would be told apart by nobody. What never drew anything leaves no claim."""
    with pytest.raises(InputError, match="the model's context leaves"):
        carried_out(replace(SMALL, max_tokens=60), tmp_path)
    for name in (suite.RESPONSES, suite.SETTINGS):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    message = r"holds an evaluation with other settings \(samples, temperature\); give --out another folder"
    with pytest.raises(InputError, match=message):
        carried_out(replace(SMALL, samples=2, temperature=0.5), tmp_path)
    carried_out(SMALL, tmp_path)
    assert samples_of(tmp_path) == samples_of(finished)


@pytest.mark.parametrize("line", ['{"a": 1}', "[1]", "7", "no JSON", "[" * 100_000, "\xff"])
def test_a_line_that_is_none_of_ours_is_told(line: str, tmp_path: Path, finished: Path) -> None:
    path = tmp_path / suite.RESPONSES
    path.write_bytes((finished / suite.RESPONSES).read_bytes() + line.encode("latin-1") + b"\n")
    with pytest.raises(InputError, match=r"responses.jsonl, line 13: damaged; delete the file, and all its responses"):
        ResponseFile(path)
    row = json.loads((finished / suite.RESPONSES).read_text().splitlines()[0]) | {"tokens": [1]}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="line 1: damaged"):
        ResponseFile(path)


@pytest.mark.parametrize("prompt", ["plain", "boxed", "chat"])
def test_both_ways_ask_the_same(tmp_path: Path, prompt: str) -> None:
    """lm-eval's text, in our tokens, is what a run's codec makes of the problem: with a tokenizer that adds a token."""
    data = tmp_path / "own.jsonl"
    data.write_text(json.dumps({"problem": "What is {x} in $x^2 = 4$?", "answer": "2"}) + "\n")
    asked = replace(SMALL, suite=(f"jsonl:{data}",), prompt=prompt)
    (task,) = load_tasks(asked)["tasks"].values()
    codec = Codec(byte_tokenizer(), task.origin, task.form)
    file = ResponseFile(tmp_path / "none")
    lm = SamplerLM(lambda sampling: None, "", "cpu", codec, None, 1, file, print)
    task.build_all_requests(apply_chat_template=codec.form.chat, chat_template=lm.apply_chat_template)
    question = lm._question(task.instances)
    assert question.prompt == codec.encode(task.origin.test[0])
    assert codec.tokenizer.decode(question.prompt).count("<s>") == 1
    assert question.sampling.stops == task.form.stops(task.origin)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Spells anything, and begins what it reads with <s>, which its chat template spells out."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(["<s>", "</s>", *alphabet])}, merges=[]))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    made.chat_template = (
        "<s>{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}answer:"
    )
    return made


def test_a_group_is_the_mean_of_its_tasks_for_any_number_of_samples(tmp_path: Path) -> None:
    """Each counts the same, whatever its size, and pass@k of the group is for the k of the tasks."""
    data = write_math(tmp_path)
    loaded = load_tasks(replace(SMALL, suite=(f"math:{data}", "chain"), samples=2))
    (group,) = loaded["groups"].values()
    row = {"pass@1,all": 0.5, "pass@2,all": 1.0, "pass@1_stderr,all": 0.1, "pass@2_stderr,all": 0.1, "sample_len": 4}
    rows = {name: row | {"sample_len": i} for i, name in enumerate(loaded["tasks"])}
    rows["lagbench_math500"]["pass@1,all"] = 0.8
    mean = group.aggregate(rows)
    assert mean["pass@1,all"] == pytest.approx((5 * 0.5 + 0.8) / 6) and mean["pass@2,all"] == 1.0
    assert mean["pass@1_stderr,all"] == pytest.approx(0.1 / 6**0.5)
    assert not any("pass@4" in name for name in mean)


def write_math(folder: Path) -> Path:
    """As many made-up problems for each task of the group as its official set holds."""
    sizes = {"math500": 500, "aime24": 30, "aime25": 30, "amc23": 40, "minerva_math": 272, "olympiadbench": 675}
    for name, size in sizes.items():
        lines = [{"id": f"{name}-{i}", "problem": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(size)]
        (folder / f"{name}_test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_registered_task_needs_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def doubled() -> Task:
        return Task(train=(), test=[Problem("d-1", "1+1+0=", "2", "doubled")], prompt="{question}", stops=())

    monkeypatch.setattr(TASKS, "_entries", TASKS.all())
    TASKS.register(doubled)
    results = carried_out(replace(SMALL, suite=("doubled",), max_tokens=8), tmp_path)
    assert results["results"]["lagbench_doubled"]["sample_len"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"suite": ("chian",)}, r"suite=chian: no such task \(did you mean 'chain'\?\); expected .*math500"),
        ({"suite": ("chain", "chain")}, "suite=chain,chain: lagbench_chain is in it twice; leave one out"),
        ({"suite": ("chain:somewhere",)}, "task chain:somewhere: chain reads no data; write chain"),
        ({"suite": ("jsonl",)}, "jsonl"),
        ({"max_tokens": 60}, r"the prompt of chain-\S+ has 6 tokens, but the model's context leaves 4 beside"),
        ({"prompt": "chat"}, "prompt=chat, but the model has no chat template; use prompt=boxed"),
        ({"prompt": "boxed"}, "the model's tokenizer reads"),
        ({"model": "nowhere"}, "model=nowhere: no such folder"),
        ({"samples": 0}, "samples=0 is not valid"),
        ({"samples": 1001}, "samples=1001 is not valid: expected a whole number from 1 to 1000"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_a_line(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as raised:
        carried_out(replace(SMALL, **changes), tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("split", ["train", ""])
def test_nothing_to_ask(split: str, tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text(json.dumps({"problem": "?", "answer": "1", "split": split}) if split else "")
    with pytest.raises(InputError, match=r"mine.jsonl: no problem is held out there; add some to its test split"):
        carried_out(replace(SMALL, suite=(f"jsonl:{data}",)), tmp_path)


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nope")):
        with pytest.raises(InputError, match=f"cannot write to {folder}: .*; give --out another folder"):
            carried_out(SMALL, folder)


def test_files_that_could_not_be_written_are_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """lm-eval itself logs a line and ends well."""
    monkeypatch.setattr(suite.EvaluationTracker, "save_results_samples", lambda *given: None)
    with pytest.raises(InputError, match="not all result files could be written there"):
        carried_out(replace(SMALL, limit=1), tmp_path)


def test_two_evaluations_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with FileLock(tmp_path / store.LOCK), pytest.raises(InputError, match="another evaluation is writing there"):
        carried_out(SMALL, tmp_path)


@pytest.mark.parametrize("setting", [{"top_k": 50}, {"seed": 1}, {"top_p": 0.9}, {"do_sample": False}])
def test_sampling_that_would_not_be_done_is_refused(setting: dict[str, object]) -> None:
    """One seed for all samples of a problem, say, would make them all the same."""
    with pytest.raises(InputError, match="is not something that LagBench's sampler does"):
        Sampling.of({"max_gen_toks": 8, "temperature": 1.0, "until": []} | setting)


def test_lm_eval_has_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"lagbench eval needs an extra; run: pip install 'lagbench\[eval\]'"):
        cli.eval_("tiny", "chain")


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e-300, 1e300, float("inf"), float("nan")])
def test_temperatures_that_no_model_can_be_sampled_at(temperature: float) -> None:
    with pytest.raises(InputError, match=r"--temperature \S+ is not valid: expected a number from 0.01 to 100"):
        cli.eval_("tiny", "chain", temperature=temperature)


def test_the_command(lagbench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    ran = lagbench("eval", "tiny", "--suite", "chain", "--samples", "4", "--limit", "12")
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines() if line.strip()]
    assert lines[0] == ["chain"] and lines[2] == ["problems", "12"]
    names = ["pass@1", "pass@2", "pass@4", "maj@2", "maj@4", "truncated", "unparsed", "timeout"]
    assert [line[0] for line in lines[3:11]] == names
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    assert folder.name.startswith("eval-tiny-") and f"Report: {folder.relative_to(tmp_path)}" in ran.stdout
    (path,) = folder.rglob("results_*.json")
    row = json.loads(path.read_text())["results"]["lagbench_chain"]
    assert lines[3] == ["pass@1", f"{row['pass@1,all']:.3f}", f"±{row['pass@1_stderr,all']:.3f}"]
