"""Several processes that share every update do what one does: gradients, weights, checkpoints, drawing, failures."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import failing
import processes
import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3ForCausalLM

from lagbench.harness import store
from lagbench.harness.config import Run
from lagbench.harness.learn.world import ALONE, World
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.sweep.cell import Execution, run_cell
from lagbench.harness.sweep.torchrun import Ended, launch

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
DIVIDED = {  # objectives, and how 12 and 8 rows are divided into passes: unequal numbers of them, or one each
    "cispo": {"microbatch": 4},  # by token
    "gspo": {"group_packing": True, "gradient_checkpointing": True},  # by response
    "m2po": {"microbatch_tokens": 100},  # by statistics of the batch
    "clip_cov": {"microbatch": 4},  # by chance
}
OPTIONS = {  # small enough to clip, and often enough to pick
    "m2po": {"budget": 0.01},
    "clip_cov": {"share": 0.2, "cov_low": 0.0, "cov_high": 1e9},
}
TIED = "tied"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes import what they do from here."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture(scope="module")
def tied(tmp_path_factory) -> Path:
    """The embedded model with the head's weights in the place of its embeddings."""
    folder = tmp_path_factory.mktemp("models") / TIED
    model = load_model(locate("tiny"), torch.device("cpu"))
    model.config.tie_word_embeddings = True
    made = Qwen3ForCausalLM(model.config)
    made.load_state_dict({name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}, False)
    with torch.no_grad():
        made.model.embed_tokens.weight.copy_(model.lm_head.weight)
    made.save_pretrained(folder)
    load_tokenizer(locate("tiny")).save_pretrained(folder)
    return folder


def settings(objective: str, **changes: object) -> Run:
    """A run of five groups of four for two processes."""
    size = {"prompts_per_update": 5, "responses_per_prompt": 4, "learning_rate": 1e-4, "updates": 4, "temperature": 1.5}
    axes = {
        "objective": objective,
        "hyperparameters": OPTIONS.get(objective, {}),
        "lag": "sync",
        "seed": 0,
        "learner_processes": 2,
    }
    return Run(**(size | axes | DIVIDED[objective] | changes))


def test_two_processes_learn_what_one_does(tmp_path: Path, tied: Path) -> None:
    """All in one start of two processes, which takes longer than what they do."""
    plain = {"microbatch": 256, "microbatch_tokens": 0, "group_packing": False, "gradient_checkpointing": False}
    runs = {name: settings(name) for name in DIVIDED} | {TIED: settings("cispo", model=str(tied))}
    rollouts, verdicts = processes.fixed(runs["cispo"])
    ones, told = tmp_path / "one", list[str]()
    ones.mkdir()
    alone = {
        name: processes.learned(run.model_copy(update=plain), rollouts, verdicts, ones if name == "cispo" else None)
        for name, run in runs.items()
    }
    both = {
        f"{sharding}-{name}": run.model_copy(update={"learner_sharding": sharding})
        for sharding in ("none", "full")
        for name, run in runs.items()
    }
    kept = {name: tmp_path / name for name in ("none-cispo", "full-cispo")}
    for folder in kept.values():
        folder.mkdir()
    found = launch(2, partial(processes.everything, both, rollouts, verdicts, kept, ones), told.append)

    start = load_model(locate("tiny"), torch.device("cpu"))
    for name in both:
        one, two = alone[name.partition("-")[2]], found[name]
        same(two["gradient"], one["gradient"], rtol=1e-5, atol=1e-7)
        same(list(two["weights"].values()), list(one["weights"].values()), **CLOSE)
        assert list(two["weights"]) == list(one["weights"])
        for row, other in zip(two["rows"], one["rows"], strict=True):
            assert measured(row) == pytest.approx(measured(other), rel=1e-4, abs=1e-6)
        moved = (two["weights"]["model.layers.0.mlp.up_proj.weight"] - start.model.layers[0].mlp.up_proj.weight).abs()
        assert moved.max() > 2e-4  # three steps of the learning rate: twenty times what the comparison tolerates
    assert alone["m2po"]["rows"][0]["objective"]["threshold"] < 1  # the statistics of the batch did something
    assert alone["clip_cov"]["rows"][0]["objective"]["picked_fraction"] > 0.1
    assert len(alone[TIED]["weights"]) == len(alone["cispo"]["weights"]) - 1

    one = processes.learned(runs["cispo"], *processes.first_group(rollouts, verdicts))
    for name in kept:
        same(found[f"{name} idle"]["gradient"], one["gradient"], rtol=1e-5, atol=1e-7)

    further = processes.resumed(runs["cispo"], rollouts, verdicts, ones)
    for name, folder in kept.items():
        one = processes.resumed(runs["cispo"], rollouts, verdicts, folder)
        for more in (found[f"{name} resumed"], one):  # two processes from the checkpoint of one, and the other way
            same(list(more["weights"].values()), list(further["weights"].values()), **CLOSE)
            assert measured(more["rows"][0]) == pytest.approx(measured(further["rows"][0]), rel=1e-4, abs=1e-6)

    for two, one in zip(found["drawn"], processes.drawn(runs["cispo"], ALONE), strict=True):
        assert two.prompts == one.prompts
        for name in ("tokens", "mask", "versions", "stopped"):
            assert torch.equal(getattr(two, name), getattr(one, name)), name
        torch.testing.assert_close(two.behavior_logprobs, one.behavior_logprobs, **CLOSE)
    assert sorted(told) == sorted([*both, *both])
    sums, changed = found["uneven"]
    assert sums == pytest.approx([0, 3, 1, 2, *[0] * (len(sums) - 4)])
    assert [i for i, moved in enumerate(changed) if moved] == [1, 2, 3]  # what has no gradient anywhere stays
    assert found["non-finite"] == ["here", "here"]
    assert found["verdicts"] == [True, True]


def same(found: list[torch.Tensor], expected: list[torch.Tensor], **tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


def measured(row: dict[str, object]) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, float)} | row["objective"]


def test_shares_are_neighbors_and_leave_nothing_out() -> None:
    for size in (1, 2, 3, 7):
        for count in (1, 2, 5, 12):
            parts = [list(range(count))[World(rank, size).share(count)] for rank in range(size)]
            assert [i for part in parts for i in part] == list(range(count))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_killed_process_is_named() -> None:
    with pytest.raises(Ended, match=r"^process 1 of 2 ended early: killed by signal 9 \(SIGKILL\)$"):
        launch(2, failing.killed)


def test_what_a_process_raises_is_told() -> None:
    with pytest.raises(Ended, match=r"^process 1 of 2: ValueError: no such luck$") as ended:
        launch(2, failing.raising)
    assert "in raising" in ended.value.record["traceback"]


def test_processes_end_with_their_launcher(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    code = (
        "import failing\nfrom lagbench.harness.sweep.torchrun import launch\n"
        f"launch(2, failing.waiting, lambda pid: open({str(path)!r}, 'a').write(f'{{pid}}\\n'))"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code])
    try:
        while launcher.poll() is None and len(pids := path.read_text().split() if path.exists() else []) < 2:
            time.sleep(0.05)
    finally:
        launcher.kill()
        launcher.wait()
    deadline = time.monotonic() + 10
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2 and not left


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_suite_of_two_processes_and_shards(lagbench, tmp_path: Path) -> None:
    """From the command line: gates, scores and the final model's folder are those of one process, but for rounding."""
    small = ("objectives=gspo", "lags=1", "updates=2", "prompts_per_update=3", "responses_per_prompt=4",
                "learning_rate=1e-4", "eval_problems=8", "eval_samples=4")  # fmt: skip
    ran = lagbench("run", "quick", *small, "learner_processes=2", "learner_sharding=full", "--results", "out")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "ok: lag-0 parity" in ran.stdout and "ok: determinism" in ran.stdout
    cell = tmp_path / "out" / "gspo-constant-1-seed0"
    written = store.read_json(cell / store.RUN)
    given = {name: value for name, value in written.items() if name in Run.model_fields}
    alone = Run(**given | {"learner_processes": 1, "learner_sharding": "none"})
    run_cell(alone, tmp_path / "one" / "cell", Execution("", 1, 1e9), lambda version: None)
    folders = (tmp_path / "one" / "cell", cell)
    one, two = (store.read_json(folder / store.RESULT) for folder in folders)
    assert two["scores"]["pass@1"]["mean"] == pytest.approx(one["scores"]["pass@1"]["mean"], abs=1 / 32)
    models = [AutoModelForCausalLM.from_pretrained(folder / store.MODEL) for folder in folders]
    same(*(list(model.state_dict().values()) for model in models), **CLOSE)
    assert not list(cell.glob("checkpoint*"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (("learner_sharding=full",), "learner_sharding=full divides a model among processes, but learner_processes=1"),
        (("learner_processes=5", "prompts_per_update=4"), "learner_processes=5, but an update has 4 prompt groups"),
    ],
)
def test_wrong_input(lagbench_here, settings: tuple[str, ...], expected: str) -> None:
    ran = lagbench_here("run", "quick", *settings)
    assert ran.returncode == 2 and expected in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_more_processes_than_gpus(lagbench_here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    ran = lagbench_here("run", "quick", "learner_processes=2")
    assert ran.returncode == 2 and "learner_processes=2, but this machine has 1 GPUs, one for each" in ran.stderr
