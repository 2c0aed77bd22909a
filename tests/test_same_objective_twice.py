"""An objective against itself under another name, for real: trained, evaluated and compared on the embedded model."""

from pathlib import Path

import pytest
from small_suites import SMALL, knowing

from lagbench.harness import store
from lagbench.harness.report.document import Report

ENTRY_POINT = "[lagbench.objectives]\nagain = again\n"
MODULE = '''"""The naive policy gradient once more."""

from lagbench import Loss, objective


@objective
def again(logprobs, advantages) -> Loss:
    """Advantage times token NLL under the current policy, no correction."""
    return Loss(-advantages[:, None] * logprobs)
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages that holds an objective `again`, which is `policy_gradient`."""
    about = tmp_path / "site" / "again-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: again\nVersion: 1\n")
    (about / "entry_points.txt").write_text(ENTRY_POINT)
    (about.parent / "again.py").write_text(MODULE)
    return about.parent


def test_two_names_of_one_objective_have_identical_rows(site: Path, tmp_path: Path, lagbench) -> None:
    suite = ("objectives=policy_gradient,again", "lags=0,in_flight:2", "seeds=0,1,2", "updates=4", *SMALL)
    ran = lagbench("run", "quick", *suite, "--results", "out", env=knowing(site))
    assert ran.returncode == 0, ran.stderr
    report = Report.model_validate_json((tmp_path / "out" / store.REPORT / "report.json").read_text())
    rows = {(row.objective, row.lag): row for row in report.rows}
    assert len(rows) == 4 and len({row.scores["pass@1"].mean for row in rows.values()}) > 1
    for (objective, lag), row in rows.items():
        if objective == "again":
            twin = rows["policy_gradient", lag]
            apart = {"objective", "against_baseline", "cost"}  # cost: the clock is not the objective's
            assert row.model_dump(exclude=apart) == twin.model_dump(exclude=apart)
            assert row.cost.tokens_generated == twin.cost.tokens_generated > 0
            test = row.against_baseline
            assert (test.value.mean, test.value.low, test.value.high) == (0, 0, 0)
            untested = lag == "constant:0"  # one formula, known before the run
            expected = (True, None, None, None) if untested else (False, 1, 1, False)
            assert (test.same_formula, test.p, test.p_adjusted, test.significant) == expected
    weights = {(cell.objective, cell.lag, cell.seed): cell.weights_digest for cell in report.cells}
    assert all(weights["again", *key[1:]] == digest for key, digest in weights.items() if key[0] == "policy_gradient")
    assert len(set(weights.values())) == 7  # the base model's, and lags and seeds do differ
    ranks = [
        (found.best_rank, found.worst_rank) for s in report.standings for found in (s.gain_under_lag, s.own_retention)
    ]
    assert ranks == [(1, 2)] * 4
