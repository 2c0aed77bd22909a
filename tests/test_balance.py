"""What becomes of ASymPO's balance under a suite's conventions, for real: measured in training, told beside the row."""

from pathlib import Path

import pytest
from small_suites import SMALL

from lagbench.harness import store
from lagbench.harness.report.document import Report


@pytest.mark.parametrize(
    ("conventions", "broken"),
    [
        ((), False),
        (("aggregate=token_mean",), True),
        (("advantage=asymre",), True),
        (("aggregate=token_mean", "hyperparameters.asympo.normalizer=sum"), False),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, tuple) else None,
)
def test_the_report_says_where_a_suite_breaks_the_balance(
    lagbench, tmp_path: Path, conventions: tuple[str, ...], broken: bool
) -> None:
    suite = ("objectives=policy_gradient,asympo", "lags=0", "updates=4", *SMALL)
    ran = lagbench("run", "quick", *suite, *conventions, "--results", "out")
    assert ran.returncode == 0, ran.stderr
    report = Report.model_validate_json((tmp_path / "out" / store.REPORT / "report.json").read_text())
    rows = {row.objective: row for row in report.rows}
    updates = store.read_lines(tmp_path / "out" / "asympo-constant-0-seed0" / store.METRICS)
    measured = sum(update["balance"] for update in updates[2:]) / 2  # the second half
    assert rows["policy_gradient"].broken_balance is None and rows["policy_gradient"].diagnostics["balance"] > 0.01
    assert rows["asympo"].diagnostics["balance"] == pytest.approx(measured)
    assert (measured > 0.01) is broken
    told = f"balance {measured:.2f}"
    page = (tmp_path / "out" / store.REPORT / "report.html").read_text()
    if broken:
        assert rows["asympo"].broken_balance == pytest.approx(measured)
        assert "asympo promises that its positive and negative side cancel each other" in " ".join(ran.stdout.split())
        assert ran.stdout.count(told) >= 2 and f"{told}, 0 under the conventions of its paper" in page
    else:
        assert rows["asympo"].broken_balance is None and measured < 1e-5
        assert "balance" not in ran.stdout and "0 under the conventions of its paper" not in page
