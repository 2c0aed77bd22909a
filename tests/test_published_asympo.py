"""What results/published/asympo says is what its files hold."""

import csv
import re
from typing import Any

import pytest
from small_suites import ROOT, benchmark

from lagbench.harness.config import load_suite
from lagbench.harness.report.document import Report

asympo_claims = benchmark("asympo_claims")
FOLDER = ROOT / "results" / "published" / "asympo"
README = (FOLDER / "README.md").read_text()
NAMES = {"naive (`policy_gradient`)": "policy_gradient", "GPG": "gpg", "GRPO": "grpo", "SPO, 0.2": "spo"}
NAMES |= {"ASymPO": "asympo", "ASymPO-stable": "asympo_stable"}


@pytest.fixture(scope="module")
def runs() -> Any:
    with (FOLDER / "runs.csv").open(newline="") as file:
        return asympo_claims.Runs(list(csv.DictReader(file)))


@pytest.fixture(scope="module")
def report() -> Report:
    return Report.model_validate_json((FOLDER / "report.json").read_text())


def test_claims_follow_from_the_runs(runs: Any) -> None:
    assert (FOLDER / "claims.md").read_text() == "\n".join(asympo_claims.claims(runs))


def test_the_runs_are_those_of_the_report(runs: Any, report: Report) -> None:
    suite = load_suite("asympo")
    assert len(report.rows) == len(suite.objectives) * len(suite.lags) and report.valid
    for row in report.rows:
        found = {int(line["seed"]): float(line["pass@1 at 375"]) for line in runs.of(row.objective, row.lag)}
        assert found == pytest.approx(dict(row.by_seed), abs=1e-5) and set(found) == set(suite.seeds)
        collapsed = {int(line["seed"]) for line in runs.of(row.objective, row.lag) if line["collapsed"]}
        assert collapsed == {collapse.seed for collapse in row.collapses}


def test_the_table_of_the_page(report: Report) -> None:
    """Every score ± the longer side of its interval."""
    lines = [line.strip("|").split("|") for line in README.splitlines() if re.match(r"\| .*\d ± \d", line)]
    table = {NAMES[cells[0].strip()]: [cell.strip() for cell in cells[-3:]] for cells in lines}
    assert set(table) == set(load_suite("asympo").objectives)
    rows = {(row.objective, row.lag): row.scores["pass@1"] for row in report.rows}
    for name, cells in table.items():
        for lag, cell in zip(("constant:0", "periodic:16", "periodic:16+8"), cells, strict=True):
            score = rows[name, lag]
            half = max(score.mean - score.low, score.high - score.mean)
            assert cell == f"{score.mean:.3f} ± {half:.3f}", (name, lag)


def test_the_sentences_of_the_page_have_their_numbers_from_the_claims() -> None:
    """Every number with an interval stands in claims.md, its sign aside where the sentence says the direction."""

    def numbers(text: str) -> set[tuple[str, ...]]:
        text = " ".join(text.split()).replace("[+", "[").replace(", +", ", ")
        found = re.findall(r"([+-]?\d\.\d{3}) \[([+-]?\d\.\d{3}), ([+-]?\d\.\d{3})\]", text)
        return {tuple(one.lstrip("+") for one in each) for each in found}

    held = numbers((FOLDER / "claims.md").read_text())
    turned = {tuple(one.lstrip("-") for one in (mean, high, low)) for mean, low, high in held if mean.startswith("-")}
    said = numbers(README.partition("## Its claims")[2])
    assert len(said) >= 15 and said <= held | turned


def test_the_first_page_says_whether_the_pattern_holds(report: Report) -> None:
    first = (ROOT / "README.md").read_text()
    rows = {(row.objective, row.lag): row.scores["pass@1"].mean for row in report.rows}
    told = re.search(r"naive (0\.\d\d), GPG (0\.\d\d), GRPO (0\.\d\d), SPO (0\.\d\d), ASymPO (0\.\d\d)", first)
    assert told and "results/published/asympo" in first
    names = ("policy_gradient", "gpg", "grpo", "spo", "asympo")
    assert list(told.groups()) == [f"{rows[name, 'periodic:16+8']:.2f}" for name in names]
