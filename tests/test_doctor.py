"""What a machine can run: the arithmetic by hand and against real models, and what `lagbench doctor` says of it."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_extras import hide
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from lagbench.harness import store
from lagbench.harness.config import Run, load_suite
from lagbench.harness.doctor import memory
from lagbench.harness.doctor.machine import EXTRAS, Gpu, look
from lagbench.harness.doctor.memory import (
    GIB,
    Model,
    decoding_bytes,
    layer_activations,
    learner_memory,
    training_flops,
)
from lagbench.harness.doctor.tiers import PROMPT, TIERS, gsm8k, math, reached, sharded_math
from lagbench.harness.doctor.trial import Trial, attempt
from lagbench.harness.learn.policy import Policy
from lagbench.harness.models.locate import EMBEDDED
from lagbench.harness.registry import load_task
from lagbench.harness.sweep.cell import Execution, assemble_trainer, run_cell
from lagbench.harness.sweep.expand import cells, task_of
from lagbench.harness.verify import Verifier

SMALL = Model("small", 2, hidden=8, intermediate=16, heads=2, kv_heads=1, head_dim=4, vocabulary=10, qk_norm=True)
TRAINS = Trial(True, 1.0, "it does")
PUBLISHED = {  # parameters, as the models' files on the hub count them
    "SmolLM2-135M": 134_515_008,
    "Qwen3-0.6B": 596_049_920,
    "Qwen3-1.7B-Base": 1_720_574_976,
    "Qwen3-4B-Base": 4_022_468_096,
    "Llama-3.2-3B-Instruct": 3_212_749_824,
}


def transformers_model(model: Model, layers: int) -> torch.nn.Module:
    kind, config = (Qwen3ForCausalLM, Qwen3Config) if model.qk_norm else (LlamaForCausalLM, LlamaConfig)
    return kind(
        config(
            vocab_size=model.vocabulary,
            hidden_size=model.hidden,
            intermediate_size=model.intermediate,
            num_hidden_layers=layers,
            num_attention_heads=model.heads,
            num_key_value_heads=model.kv_heads,
            head_dim=model.head_dim,
            tie_word_embeddings=True,
        )
    )


@pytest.mark.parametrize("model", memory.MODELS, ids=lambda model: model.name)
def test_parameters(model: Model) -> None:
    """As published, and as transformers makes a model of these sizes."""
    assert model.parameters == PUBLISHED[model.name]
    with torch.device("meta"):
        assert sum(p.numel() for p in transformers_model(model, model.layers).parameters()) == model.parameters


def test_memory_by_hand() -> None:
    """Layers of 8x8 queries and output, 8x4 keys and values, 3 x 8x16, norms of 8, 8, 4 and 4; 10 x 8 words; a norm."""
    parameters = 2 * (64 + 64 + 32 + 32 + 384 + 24) + 80 + 8
    head = 3 * 4 * 2**26 + 4 * 80
    assert SMALL.parameters == parameters == 1288
    assert layer_activations(SMALL, True) == 8 * 16 + 26 * 8 + 10 * 12 == 456
    assert layer_activations(SMALL, False) == 16 * 16 + 24 * 8 + 16 * 12 == 640
    alone = learner_memory(SMALL, 100)
    assert (alone.states, alone.learning, alone.drawing) == (20 * 1288, 2 * 1288 + 2 * 45600 + head, 0)
    checkpointed = learner_memory(SMALL, 100, checkpointing=True)
    assert checkpointed.learning == 2 * 1288 + 2 * 4 * 8 * 100 + 45600 + head
    parts = learner_memory(SMALL, 100, processes=4, sharded=True)
    assert parts.states == 4 * 1288 + 5 * 1288  # whole, and a quarter of five copies
    assert learner_memory(SMALL, 100, processes=4).states == alone.states
    on_cpu = learner_memory(SMALL, 100, bf16=False, drawn_tokens=10**8)
    assert on_cpu.drawing == 10**8 * 2 * 2 * 4 * 4 and on_cpu.peak == 20 * 1288 + on_cpu.drawing
    assert (training_flops(SMALL, 10, False), training_flops(SMALL, 10, True)) == (77280, 103040)


def test_figures_of_the_page() -> None:
    """docs/tiers.md says what the arithmetic does."""
    page = (Path(__file__).parent.parent / "docs" / "tiers.md").read_text()
    for told, size in {
        "`lagbench run gsm8k` | SmolLM2-135M-Instruct | GPU {} |": gsm8k(memory.SMOLLM2),
        "| Qwen3-0.6B | GPU {} |": gsm8k(memory.QWEN3_600M),
        "one GPU a cell | 8 x {} |": math(memory.QWEN3_1_7B),
        "four GPUs a cell | 8 x {} |": sharded_math(memory.LLAMA_3B, 4),
        "eight GPUs a cell | 8 x {} |": sharded_math(memory.QWEN3_4B, 8),
    }.items():
        assert told.format(f"{size / GIB:.1f} GiB") in page
    for model in memory.MODELS:
        heads = f"{model.heads}, {model.kv_heads} of {model.head_dim}"
        sizes = f"{model.layers} | {model.hidden} | {model.intermediate} | {heads} | {model.vocabulary}"
        assert f"| {model.name} | {model.parameters:,} | {sizes} |" in page
    for suite, model, told in (
        ("gsm8k", memory.SMOLLM2, "{:.2f} GPU hours a cell, 16 cells"),
        ("gsm8k", memory.QWEN3_600M, "{:.1f} GPU hours a cell |"),
        ("math", memory.QWEN3_1_7B, "{:.1f} GPU hours a cell, 55 cells"),
        ("math", memory.LLAMA_3B, "{:.1f} GPU hours a cell |"),
        ("math", memory.QWEN3_4B, "{:.1f} GPU hours a cell |"),
    ):
        settings = load_suite(suite)
        responses = settings.updates * settings.prompts_per_update * settings.responses_per_prompt
        operations = training_flops(model, responses * (PROMPT + settings.max_tokens), True)
        assert told.format(operations / (0.3 * 989e12 * 3600)) in page


def test_cost_of_the_papers_protocol() -> None:
    """docs/tiers.md says what the arithmetic does: GPU hours of a cell at 1,000 and at 4,096 tokens a response."""
    page = (Path(__file__).parent.parent / "docs" / "tiers.md").read_text()
    suite = load_suite("asympo_math")
    assert suite.max_tokens == 4096 and len(cells(suite)) == 55
    responses = suite.prompts_per_update * suite.responses_per_prompt
    exams = (500 + 30 + 30 + 40 + 1319 + 272) * suite.eval_samples
    for model in (memory.QWEN3_1_7B, memory.LLAMA_3B, memory.QWEN3_4B):
        cache = 0.4 * 80e9 - 2 * model.parameters
        hours = []
        for tokens in (1000, 4096):
            operations = training_flops(model, suite.updates * responses * (PROMPT + tokens), True)
            read = [suite.updates * decoding_bytes(model, responses, PROMPT, tokens, cache)]
            read.append(decoding_bytes(model, exams, PROMPT, tokens, cache))
            hours.append([operations / (0.3 * 989e12 * 3600), *(count / (0.5 * 3.35e12 * 3600) for count in read)])
        spans = [f"{low:.1f} to {high:.1f}" for low, high in zip(*hours, strict=True)]
        total = f"{54 * sum(hours[0]):.0f} to {54 * sum(hours[1]):.0f}"
        assert f"| {model.name} | {' | '.join(spans)} | {total} |" in page
        if model is memory.QWEN3_1_7B:
            assert f"{sum(hours[0]):.1f} to {sum(hours[1]):.1f} GPU hours a cell, 55 cells" in page
    divided = [sharded_math(model, n, 256, 4096) / GIB for model, n in ((memory.QWEN3_4B, 8), (memory.LLAMA_3B, 4))]
    assert "GPUs of {:.1f} (Qwen3-4B, eight) and {:.1f} GiB (Llama, four)".format(*divided) in page


def test_decoding_by_hand() -> None:
    """2 layers of 4 keys and values in bf16 are 32 bytes a token; 3 + 4 tokens read 3 + 4, that is 3 * 2 + 1 = 7."""
    cache = 32 * 5 * 2  # two responses of 5 tokens at a time, so three take one and a half rounds of two steps
    assert decoding_bytes(SMALL, 3, 3, 2, cache) == 3 * 7 * 32 + 1.5 * 2 * 2 * 1288
    assert decoding_bytes(SMALL, 1, 3, 2, cache) == 7 * 32 + 2 * 2 * 1288


def test_copies_are_those_of_the_policy(run: Callable[..., Run]) -> None:
    """What a policy holds after an update is as large as the arithmetic says, but for AdamW's counters."""
    chain = load_task("chain", {})
    with Verifier(chain) as verifier:
        trainer = assemble_trainer(run(updates=2), chain, verifier)
        assert attempt(trainer).trained
    policy: Policy = trainer.policy
    parameters = list(policy.model.parameters())
    moments = [value for of in policy.optimizer.state.values() for value in of.values() if value.dim()]
    held = [*parameters, *parameters, *moments, *policy.last_gradient]  # the next backward makes gradients again
    count = sum(p.numel() for p in parameters)
    assert sum(value.numel() * value.element_size() for value in held) == memory.COPIES * memory.FP32 * count


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("qk_norm", [True, False])
def test_activations_are_those_that_a_layer_keeps(bf16: bool, qk_norm: bool) -> None:
    model = replace(
        SMALL, hidden=128, intermediate=384, heads=4, kv_heads=2, head_dim=32, vocabulary=64, qk_norm=qk_norm
    )
    kept = (saved_bytes(model, 3, bf16) - saved_bytes(model, 1, bf16)) / 2
    assert kept / 256 == pytest.approx(layer_activations(model, bf16), rel=0.05)


def saved_bytes(model: Model, layers: int, bf16: bool) -> int:
    """That autograd keeps of 2 x 128 tokens for backward, beside weights and their bf16 copies."""
    made, storages = transformers_model(model, layers), {}
    own = {p.untyped_storage().data_ptr() for p in made.parameters()}

    def keep(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = (storage.nbytes(), value)  # held, so that no address is used again
        return value

    kept = torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value)
    with kept, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        made.get_decoder()(torch.zeros(2, 128, dtype=torch.long), use_cache=False)
    copies = sum(p.numel() for p in made.get_decoder().layers.parameters() if p.dim() == 2) * 2 if bf16 else 0
    return sum(size for size, _ in storages.values()) - copies


@pytest.mark.parametrize(("suite", "rate"), [("gsm8k", 1e-6), ("math", 1e-6), ("asympo_math", 2e-6)])
def test_suites_of_tiers_run_in_a_shrunk_form(tmp_path: Path, suite: str, rate: float) -> None:
    """With the embedded model, one update of few and short responses, and everything else as the suite has it."""
    embedded = ("task=chain", "model=tiny", "prompt=plain", "sampler=torch", "objectives=asympo", "lags=0", "seeds=0")
    short = (
        "updates=1",
        "prompts_per_update=2",
        "max_tokens=16",
        "eval_problems=2",
        "eval_samples=1",
        "eval_tasks=chain",
        "train_problems=0",
    )
    run = cells(load_suite(suite, [*embedded, *short]))[1]
    assert run.gradient_checkpointing and run.microbatch_tokens == 16384 and run.learning_rate == rate
    run_cell(run, tmp_path, Execution("a test", 1, 60.0), lambda version: None)
    assert store.read_json(tmp_path / store.FAILED) is None
    assert store.read_json(tmp_path / store.RESULT)["updates"] == 1


def test_suites_of_tiers_read_real_problems(shared_data: Path) -> None:
    task = task_of(load_suite("gsm8k", [f"data={shared_data}"]))
    assert (len(task.train), len(task.test)) == (7473, 1319)


def test_tiers_of_machines() -> None:
    """None without training; one GPU is enough for one, 8 small ones are not for the next."""
    cpu = replace(look(), gpus=(), memory=2**50, disk=2**50, extras=())
    small, large = Gpu("small", 16 * GIB, True), Gpu("large", 80 * GIB, True)

    def names(*gpus: Gpu, trial: Trial = TRAINS) -> list[str]:
        return [tier.name for tier in reached(replace(cpu, gpus=gpus), trial)]

    assert names(trial=Trial(False, 0, "no")) == []
    assert names() == names(replace(large, bf16=False)) == ["laptop"]
    assert names(large) == names(*[small] * 8, large) == ["laptop", "one GPU"]
    assert names(*[large] * 8) == ["laptop", "one GPU", "8 GPUs"]
    (told,) = TIERS[2].missing(replace(cpu, gpus=(large,) * 7), TRAINS)
    assert told.startswith("8 GPUs with bf16 and 71 GiB each: 7 here")
    assert TIERS[0].missing(replace(cpu, memory=GIB), TRAINS) == ["2.0 GiB of memory: 1.0 GiB here"]


def test_doctor(lagbench_here: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "ray")
    ran = lagbench_here("doctor", "--json")
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["trial"]["trained"] and found["trial"]["seconds"] > 0
    assert found["machine"]["extras"]["ray"] == "pip install 'lagbench[ray]'"
    assert found["machine"]["extras"]["gguf"] is True
    by_name = {tier["name"]: tier for tier in found["tiers"]}
    assert by_name["laptop"]["missing"] == [] and by_name["laptop"]["command"] == "lagbench run quick"
    assert "pip install 'lagbench[ray]'" in by_name["8 GPUs"]["missing"]
    assert found["tier"] in by_name


def test_doctor_on_a_machine_that_cannot_train(lagbench_here: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is told all the same, and the exit code is 1."""
    monkeypatch.setitem(EMBEDDED, "tiny", Path("gone"))
    ran = lagbench_here("doctor")
    assert ran.returncode == 1 and "does not train: " in ran.stdout and "Tiers" in ran.stdout
    assert "lagbench run quick" in ran.stdout and "Traceback" not in ran.stderr


def test_every_extra_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert {one.name for one in EXTRAS} == set(project["optional-dependencies"]) - {"dev", "parity"}
