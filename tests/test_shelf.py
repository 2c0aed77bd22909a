"""Every built-in objective trains at lag 8 under its paper's conventions, and its page is up to date.

On quick's own size: lagbench run quick objectives=all lags=8 updates=20
"""

import math
from pathlib import Path

import pytest
from small_suites import ROOT

from lagbench.harness import store
from lagbench.harness.config import Run, load_suite
from lagbench.harness.learn.diagnostics import DIAGNOSTICS
from lagbench.harness.learn.loop import train
from lagbench.harness.listing import markdown
from lagbench.harness.registry import OBJECTIVES, SCHEDULES, load_task
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.sweep.expand import cells
from lagbench.harness.verify import Verifier

CHAIN = load_task("chain", {})
SMALL = ("updates=20", "lags=8", "prompts_per_update=6", "responses_per_prompt=4", "learning_rate=3e-4")


def runs(*overrides: str) -> dict[str, Run]:
    """By objective."""
    suite = load_suite("quick", ["objectives=all", *SMALL, *overrides])
    return {run.objective: run for run in cells(suite) if run.objective}


PAPER = runs("advantage=paper", "aggregate=paper", "denominator=paper")


@pytest.mark.parametrize("name", PAPER)
def test_trains_at_lag_8(name: str, tmp_path: Path) -> None:
    with Verifier(CHAIN) as verifier:
        trainer = assemble_trainer(PAPER[name], CHAIN, verifier)
        before = trainer.policy.digest()
        rows = list(train(trainer, OBJECTIVES.get(name), tmp_path))
    assert len(rows) == 20 and rows[-1]["lag_max"] == 8 and trainer.policy.digest() != before
    for row in rows:
        assert all(math.isfinite(row[key]) for key in DIAGNOSTICS)
        assert all(math.isfinite(value) for value in row["objective"].values())
        if not OBJECTIVES.get(name).conventions.regularized:  # then tokens with A = 0 have a part in it
            assert row["loss"] == pytest.approx(row["loss_positive"] + row["loss_negative"], abs=1e-5)
    assert rows == store.read_lines(tmp_path / store.METRICS)


def test_conventions_are_the_papers_or_the_suites() -> None:
    fixed = runs("advantage=leave_one_out", "aggregate=token_mean")
    assert {run.advantage for run in fixed.values()} == {"leave_one_out"}
    assert {(run.aggregate, run.denominator) for run in fixed.values()} == {("token_mean", "all")}
    own = {name: (run.advantage, run.aggregate, run.denominator) for name, run in PAPER.items()}
    assert own["dapo"] == ("group_mean_std", "token_mean", "kept")
    assert own["dr_grpo"] == ("group_mean", "fixed_length", "all")
    assert own["asymre"][0] == "asymre" and own["rloo"][0] == "leave_one_out"


@pytest.mark.parametrize("kind", ["objectives", "diagnostics", "collapse", "lags"])
def test_pages_made_from_the_code_are_up_to_date(kind: str) -> None:
    registered = [*OBJECTIVES.all().values(), *SCHEDULES.all().values()]
    others = {str(entry) for entry in registered if entry.distribution != "lagbench"}
    assert not others, "objectives or schedules of other packages are installed here; the page would hold them too"
    page = {"lags": "schedules"}.get(kind, kind)
    assert (ROOT / "docs" / f"{page}.md").read_text() == markdown(kind), "run: make docs"
