"""The embedded model: an ordinary Hugging Face folder, capable but unreliable, made by the committed recipe."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lagbench import InputError
from lagbench.harness.evaluate.attempts import Exam, attempts
from lagbench.harness.evaluate.metrics import scores
from lagbench.harness.models import locate, recipe
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.prompts import prompt_form
from lagbench.harness.registry import load_task
from lagbench.harness.rollout.text import Codec
from lagbench.harness.rollout.torch_sampler import TorchSampler
from lagbench.harness.verify import Verifier

FOLDER = locate("tiny")


def test_transformers_reads_it_as_it_is() -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(FOLDER), AutoTokenizer.from_pretrained(FOLDER)
    assert model.config.model_type == "qwen3"
    assert 0.3e6 <= sum(p.numel() for p in model.parameters()) <= 1e6
    assert tokenizer.decode(tokenizer("3+5-2=8;6#6").input_ids) == "3+5-2=8;6#6"
    assert tokenizer("3+5-2=").input_ids == [tokenizer.convert_tokens_to_ids(c) for c in "3+5-2="]


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 2e6


def base_scores(model) -> dict:
    task, tokenizer = load_task("chain", {}), load_tokenizer(FOLDER)
    sampler = TorchSampler(model, lambda: 0, (tokenizer.eos_token_id,), tokenizer.pad_token_id, 16, 1.0)
    with Verifier(task) as verifier:
        exam = Exam("chain", task.test[:256], sampler, Codec(tokenizer, task, prompt_form("plain")), verifier)
        made = [row for _, row in attempts(exam, 16, 256)]
    correct = np.array([[attempt.verdict.correct for attempt in row] for row in made])  # [M, n]
    return scores(correct, np.array([[attempt.cluster for attempt in row] for row in made]))


def test_it_is_capable_but_unreliable() -> None:
    found = base_scores(load_model(FOLDER, torch.device("cpu")))
    assert 0.20 <= found["pass@1"].mean <= 0.35
    assert found["pass@16"].mean > 0.9


def test_worked_solutions_are_wrong_at_the_known_rate() -> None:
    rng = random.Random(1)
    right = np.mean([recipe.worked_solution("3+5-2=", rng) == "8;6#6" for _ in range(4000)])
    assert right == pytest.approx((1 - recipe.MISTAKE_RATE) ** 2, abs=0.03)
    rng = random.Random(1)
    for _ in range(100):
        first, rest = recipe.worked_solution("9-3-4=", rng).split(";")
        second, answer = rest.split("#")
        assert second == answer
        assert int(first) - 6 in (0, *recipe.MISTAKES) and int(second) - int(first) + 4 in (0, *recipe.MISTAKES)


def test_recipe_makes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "STEPS", 5)
    for name in ("a", "b"):
        recipe.main(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    for name in ("tokenizer.json", "config.json"):
        assert json.loads((tmp_path / "a" / name).read_text()) == json.loads((FOLDER / name).read_text())


def test_chain_problems() -> None:
    task = load_task("chain", {})
    assert len(task.test) == 512 and len(task.train) == 4000 - 512
    assert not {p.question for p in task.test} & {p.question for p in task.train}
    assert len({p.id for p in (*task.test, *task.train)}) == 4000
    for problem in (*task.test, *task.train):
        digits = problem.question.rstrip("=").replace("+", " ").replace("-", " -").split()
        assert sum(map(int, digits)) == int(problem.answer)
        assert task.extract(f"0;{problem.answer}#{problem.answer}") == problem.answer


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no/such/folder", "no such folder"),
        ("nobody/nothing", "no such folder, and as a hub id"),
    ],
)
def test_unknown_model(model: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        locate(model)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no config\.json"):
        locate(str(tmp_path))


def test_a_model_that_changes_its_logits_is_refused(tmp_path: Path) -> None:
    from transformers import GraniteConfig, GraniteForCausalLM

    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = GraniteConfig(vocab_size=20, num_key_value_heads=2, logits_scaling=8.0, **size)
    GraniteForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="changes its logits after the output head"):
        load_model(tmp_path, torch.device("cpu"))
