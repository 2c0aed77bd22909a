"""GSM8K from a folder, in both forms it comes in, on the real files where they are there."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from lagbench import InputError
from lagbench.harness.config import load_suite
from lagbench.harness.registry import load_task
from lagbench.harness.sweep.expand import check
from lagbench.harness.verify import Verifier

OWN = {"id": "x", "problem": "Six and one?", "answer": "7", "source": "made-up"}
UPSTREAM = {"question": "Ten times 120?", "answer": "120 * 10 = <<120*10=1200>>1200\n#### 1,200"}


@pytest.mark.parametrize(
    ("names", "row", "answer"),
    [
        (("gsm8k_train.jsonl", "gsm8k_test.jsonl"), OWN, "7"),
        (("train.jsonl", "test.jsonl"), UPSTREAM, "1200"),
        (("gsm8k/train.jsonl", "gsm8k/test.jsonl"), UPSTREAM, "1200"),
    ],
)
def test_folder_forms(tmp_path: Path, names: tuple[str, str], row: dict, answer: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    task = load_task("gsm8k", {"data": str(tmp_path)})
    assert [p.answer for p in task.train] == [answer] == [p.answer for p in task.test]
    assert task.train[0].id == "gsm8k-train-00000" and task.test[0].id == "gsm8k-test-00000"
    assert "{question}" in task.prompt


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no GSM8K train split; expected one of gsm8k_train.jsonl, train.jsonl"):
        load_task("gsm8k", {"data": str(tmp_path)})
    (tmp_path / "train.jsonl").write_text('{"question": "?"')
    with pytest.raises(InputError, match=r"train\.jsonl, line 1: not valid JSON"):
        load_task("gsm8k", {"data": str(tmp_path)})
    (tmp_path / "train.jsonl").write_text('{"question": "?", "gold": "1"}\n')
    with pytest.raises(
        InputError, match=r"row 0: expected fields question .or problem. and answer, got question, gold"
    ):
        load_task("gsm8k", {"data": str(tmp_path)})
    for damaged in (b"[1, 2]\n", b'{"question": "\xff"}\n'):
        (tmp_path / "train.jsonl").write_bytes(damaged)
        with pytest.raises(InputError, match=r"row 0: expected fields|train\.jsonl, line 1: not valid JSON in UTF-8"):
            load_task("gsm8k", {"data": str(tmp_path)})
    with pytest.raises(InputError, match="no such folder"):
        load_task("gsm8k", {"data": str(tmp_path / "missing")})


@pytest.mark.parametrize("folder", [".", "upstream", "upstream/gsm8k"])
def test_real_data(shared_data: Path, folder: str) -> None:
    task = load_task("gsm8k", {"data": str(shared_data / folder)})
    assert (len(task.train), len(task.test)) == (7473, 1319)
    assert not {p.question for p in task.train} & {p.question for p in task.test}
    assert task.train[0].answer == "72" and "Natalia" in task.train[0].question


def test_every_real_gold_verifies_as_itself_and_not_as_the_next(shared_data: Path) -> None:
    task = load_task("gsm8k", {"data": str(shared_data)})
    golds = [p.answer for p in (*task.train, *task.test)]
    with Verifier(task) as verifier:
        assert all(v.correct for v in verifier.grade(golds, [f"so\n#### {gold}" for gold in golds]))
        wrong = [(a, b) for a, b in pairwise(golds) if float(a) != float(b)]
        verdicts = verifier.grade([a for a, _ in wrong], [f"#### {b}" for _, b in wrong])
        assert not any(v.correct for v in verdicts)


def test_a_model_that_cannot_spell_the_prompt_is_refused(tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text(2 * (json.dumps(UPSTREAM) + "\n"))
    suite = load_suite("gsm8k", ["model=tiny", f"data={tmp_path}", "prompt=plain", "eval_problems=2", "max_tokens=8"])
    with pytest.raises(InputError, match="the model's tokenizer reads 'Solve the problem"):
        check(suite)
