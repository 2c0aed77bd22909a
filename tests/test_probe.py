"""The gradient-fidelity probe: by value, against plain training, and through the command line."""

import csv
import json
from pathlib import Path

import pytest
import torch

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.config import load_suite
from lagbench.harness.learn.loop import train
from lagbench.harness.learn.policy import cosine
from lagbench.harness.probe.fidelity import (
    Probe,
    _train_and_draw,
    _with_more_prompts,
    norm_ratio,
    probe_seed,
    work_units,
)
from lagbench.harness.probe.run import run_probe
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.report.fidelity import read_fidelity, to_csv, to_markdown, write_fidelity
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.sweep.expand import cells
from lagbench.harness.verify import Verifier

CHAIN = load_task("chain", {})
SMALL = ("prompts_per_update=8", "responses_per_prompt=4", "updates=4", "learning_rate=1e-3")
PROBE = Probe(lags=(0, 1, 4), batches=2, fresh=4)


def test_cosine_and_norm_ratio_by_value() -> None:
    reference = torch.tensor([3.0, 4.0])
    expected = (([6.0, 8.0], 1, 2), ([-4.0, 3.0], 0, 1), ([-0.6, -0.8], -1, 0.2), ([0.0, 0.0], 0, 0))
    for gradient, alike, ratio in expected:
        assert cosine([torch.tensor(gradient)], [reference]) == pytest.approx(alike)
        assert norm_ratio(torch.tensor(gradient), reference) == pytest.approx(ratio)
    halves = ([torch.tensor([3.0]), torch.tensor([[4.0]])], [torch.tensor([4.0]), torch.tensor([[3.0]])])
    assert cosine(*halves) == pytest.approx(24 / 25)  # over all parameters together


def test_stale_batches_come_from_the_versions_of_an_undisturbed_history(tmp_path: Path) -> None:
    (history,) = (
        r for r in cells(load_suite("quick", ["objectives=policy_gradient", "lags=0", *SMALL])) if r.objective
    )
    with Verifier(CHAIN) as verifier:
        plain = assemble_trainer(history, CHAIN, verifier)
        list(train(plain, OBJECTIVES.get("policy_gradient"), tmp_path))
        trainer = _with_more_prompts(assemble_trainer(history, CHAIN, verifier), PROBE)
        stale = _train_and_draw(trainer, PROBE, lambda: None)
    assert trainer.policy.digest() == plain.policy.digest()
    for lag, drawn in stale.items():
        assert len(drawn) == 2 and all(set(r.versions[r.mask].tolist()) == {4 - lag} for r in drawn)
        assert [r.prompts for r in drawn] == [r.prompts for r in stale[0]]
    assert not torch.equal(stale[0][0].behavior_logprobs, stale[4][0].behavior_logprobs)
    assert (trainer.order[:4] == plain.order).all() and len(trainer.order) == 4 + 2 + 4


def test_what_must_agree_agrees() -> None:
    """On policy every ratio is 1; what rescales the policy gradient keeps its cosine."""
    names = ["policy_gradient", "grpo", "is_pg", "opmd"]
    suite = load_suite("quick", [f"objectives={','.join(names)}", "lags=0", *SMALL])
    runs = [run for run in cells(suite) if run.objective]
    steps = []
    found = probe_seed(runs[0], runs, PROBE, lambda: steps.append(1))
    rows = {(row["objective"], row["lag"]): row for row in found["rows"]}
    assert len(steps) == work_units(runs[0], PROBE) == 4 + 4 + 2 * 3
    for name in names[1:]:
        assert rows[name, 0]["cosine"] == pytest.approx(rows["policy_gradient", 0]["cosine"], abs=1e-4)
    assert rows["is_pg", 4]["cosine"] != pytest.approx(rows["policy_gradient", 4]["cosine"], abs=1e-3)
    for lag in PROBE.lags:
        opmd, naive = rows["opmd", lag], rows["policy_gradient", lag]
        assert opmd["norm_ratio"] == pytest.approx(naive["norm_ratio"] / 2, rel=1e-5)
        assert opmd["cosine"] == pytest.approx(naive["cosine"], rel=1e-5)
    assert -1 <= found["reference_agreement"] <= 1


def test_through_the_command_line(lagbench, lagbench_here, tmp_path: Path) -> None:
    arguments = ("probe", "quick", "objectives=asympo,grpo", "seeds=0,1", *SMALL, "--lags", "0,4")
    arguments += ("--batches", "1", "--fresh", "4", "--results", "out")
    ran = lagbench(*arguments)
    assert ran.returncode == 0, ran.stderr
    assert "cosine with the on-policy gradient" in ran.stdout and "policy_gradient" in ran.stdout
    first = (tmp_path / "out" / "seed1.json").read_bytes()
    (tmp_path / "out" / "seed1.json").unlink()
    again = lagbench(*arguments)  # makes the missing seed again, the same
    assert (tmp_path / "out" / "seed1.json").read_bytes() == first
    assert "seed 1 done, 0 to go" in again.stderr and "seed 0" not in again.stderr
    report = tmp_path / "out" / "report"
    assert {path.suffix for path in report.iterdir()} == {".md", ".csv", ".png"}
    with (report / "gradient_fidelity.csv").open() as file:
        lines = list(csv.DictReader(file))
    seeds = [json.loads((tmp_path / "out" / f"seed{i}.json").read_text())["rows"] for i in (0, 1)]
    for line in lines:
        values = [
            row["cosine"]
            for rows in seeds
            for row in rows
            if (row["objective"], str(row["lag"])) == (line["objective"], line["lag"])
        ]
        assert float(line["cosine"]) == pytest.approx(sum(values) / 2, abs=1e-6)
    fidelity = read_fidelity(tmp_path / "out", (0, 1))
    assert to_csv(fidelity) == (report / "gradient_fidelity.csv").read_text()
    assert to_markdown(fidelity).count("\n| ") == 2 * (1 + 1 + 3)
    other = lagbench_here(*(a.replace("1e-3", "2e-3") for a in arguments))
    assert other.returncode == 2 and "holds a probe with other settings" in other.stderr
    assert store.read_json(tmp_path / "out" / store.PROBE)["settings"]["probe"]["lags"] == [0, 4]


@pytest.mark.parametrize(
    ("history", "probe", "message"),
    [
        ("grpo", Probe((0, 200), 1, 2), r"lags \[0, 200\] do not fit updates=4"),
        ("grpo", Probe((0,), 1, 1), "batches=1 and fresh=1: expected at least 1 and 2"),
        ("nobody", Probe((0,), 1, 2), "unknown objective 'nobody'"),
    ],
)
def test_wrong_input(tmp_path: Path, history: str, probe: Probe, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_probe(load_suite("quick", SMALL), history, probe, tmp_path / "out", 1, "")


def test_ages_that_are_no_numbers(lagbench_here) -> None:
    ran = lagbench_here("probe", "quick", "lags=3")
    assert ran.returncode == 2 and "a probe takes the ages of its batches from --lags" in ran.stderr
    ran = lagbench_here("probe", "quick", "--lags", "0,x")
    assert ran.returncode == 2 and ran.stderr.startswith("error: --lags '0,x' is not valid: expected whole numbers")


def test_an_objective_that_fails_has_a_reason_and_the_others_their_values(tmp_path: Path) -> None:
    overrides = [*SMALL, "objectives=policy_gradient,kimi", "hyperparameters.kimi.tau=inf", "seeds=3"]
    folder = run_probe(load_suite("quick", overrides), "policy_gradient", PROBE, tmp_path / "out", 1, "")
    fidelity = read_fidelity(folder, (3,))
    assert fidelity.objectives == ("policy_gradient", "kimi")
    assert "objective kimi (lagbench) gave a loss that is inf" in fidelity.failures[0]
    lines = to_markdown(fidelity).splitlines()
    assert "| kimi | failed | failed | failed |" in lines and "- Mean over 1 seed." in lines
    write_fidelity(fidelity, tmp_path / "report")
    assert (tmp_path / "report" / "gradient_fidelity.png").stat().st_size > 5_000


def test_a_history_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    overrides = [*SMALL, "objectives=kimi", "hyperparameters.kimi.tau=inf"]
    with pytest.raises(InputError, match="seed 0 of the probe came to no end: update 0: objective kimi"):
        run_probe(load_suite("quick", overrides), "kimi", PROBE, tmp_path / "out", 1, "")


def test_a_reference_of_zero_is_told() -> None:
    """A learner of one response per prompt has no advantages."""
    suite = load_suite("quick", [*SMALL, "objectives=grpo", "lags=0", "responses_per_prompt=1"])
    (history,) = (run for run in cells(suite) if run.objective)
    with pytest.raises(InputError, match="seed 0: the reference gradient is zero"):
        probe_seed(history, [history], PROBE, lambda: None)
