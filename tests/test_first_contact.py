"""A command's report is of what it asked for, and what a suite will not show is told before it runs."""

import re
import shlex
from datetime import date
from pathlib import Path

import pytest
from made_up_results import HOW, INPUTS, made_up, write_cell
from small_suites import ROOT, SMALL

from lagbench.harness.config import Run, Suite, load_suite
from lagbench.harness.evaluate.headroom import without_headroom
from lagbench.harness.learn.advantages import ADVANTAGES, compares_nothing
from lagbench.harness.record import read_record
from lagbench.harness.report import grid
from lagbench.harness.report.comparison import compare
from lagbench.harness.report.document import Report
from lagbench.harness.report.gather import gather
from lagbench.harness.report.narrow import narrowed
from lagbench.harness.report.tables import leaderboard
from lagbench.harness.sweep.advice import notes
from lagbench.harness.sweep.claim import claim
from lagbench.harness.sweep.expand import cells, check, references

# ---- a command reports what it asked for


def scored(run: Run) -> float:
    """More than the base model's 0.2, and less at a larger lag."""
    return 0.2 if run.objective is None else 0.4 if run.lag == "constant:0" else 0.3


def of_command(folder: Path, suite: Suite) -> Report:
    """What the command that asks for a suite prints."""
    return compare(narrowed(gather([folder]), [run.name for run in cells(suite)]))


@pytest.fixture
def shared(tmp_path: Path) -> tuple[Path, Suite, Suite]:
    """Two commands that share a folder: three objectives at lag 8, then one of them at lag 0."""
    folder = tmp_path / "out"
    first = made_up(folder, scored, ["objectives=policy_gradient,spo,asympo", "lags=8", "seeds=0,1,2"])
    second = made_up(folder, scored, ["objectives=spo", "lags=0", "seeds=2,3"])
    return folder, first, second


def test_the_grid_that_was_asked_for_is_reported_and_its_tests_are_counted(shared) -> None:
    folder, first, second = shared
    report = of_command(folder, second)
    assert [(row.objective, row.lag, row.seeds) for row in report.rows] == [("spo", "constant:0", (2, 3))]
    assert report.family.tests == 1 and report.schedules == ("constant:0",)
    assert {cell.name for cell in report.cells} == {"base", "spo-constant-0-seed2", "spo-constant-0-seed3"}
    (rest,) = (note for note in report.notes if "`lagbench report" in note)
    assert rest == (
        "This report is of what its command asked for; out holds 9 more cells (objectives policy_gradient, spo, "
        f"asympo; lags constant:8; seeds 0, 1, 2). `lagbench report {folder}` shows all."
    )
    assert of_command(folder, first).family.tests == 2


def test_the_family_of_a_folder_is_what_was_planned_and_no_product_of_unrelated_commands(shared) -> None:
    """spo and asympo at lag 8, then spo at lag 0: 3 tests, where the whole grid would have 4."""
    folder, _, _ = shared
    report = compare(gather([folder]))
    assert report.family.tests == 3 and not any("`lagbench report" in note for note in report.notes)
    record = read_record(folder)
    assert record is not None and record.tests == 3
    today = date.today().isoformat()
    first, second = record.declared
    assert (first.date, first.command, first.tests_before, first.tests) == (today, HOW.command, 0, 2)
    assert first.objectives == ("policy_gradient", "spo", "asympo") and first.lags == ("constant:8",)
    assert first.seeds == (0, 1, 2)
    assert (second.tests_before, second.tests, second.lags, second.seeds) == (2, 3, ("constant:0",), (3,))
    assert f"The family of the folder's tests was extended on {today} from 2 to 3 (lags constant:0; seeds 3) by: " in (
        "\n".join(report.notes)
    )


def test_an_extension_is_told_by_the_command_and_seeds_are_none(tmp_path: Path) -> None:
    def remarks(*overrides: str) -> tuple[str, ...]:
        suite = load_suite("quick", ["objectives=policy_gradient,spo", *overrides])
        return claim(suite, cells(suite), INPUTS, tmp_path, HOW).remarks

    assert remarks("lags=0,8", "seeds=0") == () == remarks("lags=8", "seeds=0,1")
    assert remarks("lags=0,16", "mismatch=none,bf16", "seeds=0") == (
        "This command extends the family of the folder's tests from 2 to 5 (lags constant:16; mismatch bf16); its "
        "reports say so.",
    )
    record = read_record(tmp_path)
    assert record is not None and [(step.tests_before, step.tests) for step in record.declared] == [
        *((0, 2), (2, 2), (2, 5))
    ]
    assert record.declared[1].seeds == (1,)


def test_the_suite_id_covers_hyperparameters_and_learning_rate(tmp_path: Path) -> None:
    def report(name: str, *overrides: str) -> Report:
        made_up(tmp_path / name, scored, ["objectives=policy_gradient,spo", "lags=0,8", *overrides])
        return compare(gather([tmp_path / name]))

    plain = report("a")
    assert plain.suite_id == plain.suite_digest == report("b", "hyperparameters.spo.neg_scale=0.2").suite_id
    low, high, fast = (
        report("c", "hyperparameters.spo.neg_scale=0.1"),
        report("d", "hyperparameters.spo.neg_scale=0.9"),
        report("e", "learning_rate=3e-4"),
    )
    assert len({found.suite_id for found in (plain, low, high, fast)}) == 4
    assert low.suite_digest == high.suite_digest == plain.suite_digest  # they fit into one table but for spo
    assert "Learning rate 0.0001 (the default); not at their defaults: updates=12, prompts_per_update=4." in plain.notes
    assert any(note.endswith("prompts_per_update=4, spo.neg_scale=0.1.") for note in low.notes)
    assert any(note.startswith("Learning rate 0.0003; not at") for note in fast.notes)


# ---- what a suite needs, and will not show


def added(*overrides: str) -> list[str]:
    suite = load_suite("quick", overrides)
    return [run.name for run in references(suite, cells(suite))]


def test_reference_cells_that_are_missing_are_added() -> None:
    assert added() == added("objectives=policy_gradient", "lags=sync,8") == []
    assert added("objectives=asympo,grpo", "lags=0,16", "seeds=3,4") == [
        *("policy_gradient-constant-0-seed3", "policy_gradient-constant-0-seed4")
    ]
    assert added("objectives=all", "lags=8") == ["policy_gradient-constant-0-seed0"]
    assert added("objectives=grpo", "lags=sync") == ["policy_gradient-sync-seed0"]  # as the suite spells it
    assert added("objectives=grpo", "mismatch=none,bf16") == ["policy_gradient-constant-0-seed0"]
    assert added("objectives=grpo", "mismatch=bf16") == ["policy_gradient-constant-0-bf16-seed0"]
    assert added("objectives=grpo", "baseline=tis") == ["tis-constant-0-seed0"]


def told(*overrides: str) -> list[str]:
    suite = load_suite("quick", overrides)
    return list(notes(suite, check(suite), references(suite, cells(suite))))


def test_what_a_suite_will_not_show_is_told() -> None:
    assert told() == told("objectives=policy_gradient", "lags=0,8") == []
    reference = "Adding policy_gradient-constant-0-seed0: gains are measured by policy_gradient at lag 0."
    assert told("objectives=asympo,grpo", "lags=0,16") == [
        reference,
        "Note: no comparison with policy_gradient at lag 16; for that: objectives=policy_gradient,asympo,grpo",
    ]
    assert told("objectives=spo,policy_gradient", "lags=8,window:4,oldest") == [
        reference,
        "Note: no own retention and no change from lag 0 without a lag 0; for that: lags='0;8;window:4,oldest'",
    ]
    assert told("objectives=spo", "lags=0", "seeds=0,1") == [
        "Adding 2 cells (policy_gradient-constant-0-seed0, ...): gains are measured by policy_gradient at lag 0."
    ]


@pytest.mark.parametrize(
    ("updates", "line"),
    [
        # Of updates 0 to 14 all are younger than 16; their lags 0, 1, ..., 14 have a mean of 7.
        (15, "Note: lag 16 in 15 updates: for 100% of the groups the run is younger than that, so that the mean lag "
             "is 7.0; raise updates"),
        # 16 of 31 are younger: (0 + ... + 15 + 15 * 16) / 31 = 360 / 31.
        (31, "Note: lag 16 in 31 updates: for 52% of the groups the run is younger than that, so that the mean lag "
             "is 11.6; raise updates"),
        (32, None),  # half of them
    ],
)  # fmt: skip
def test_a_run_that_is_too_short_for_its_lag_is_told(updates: int, line: str | None) -> None:
    assert told("lags=0,16", f"updates={updates}") == ([line] if line else [])


def test_groups_that_compare_nothing() -> None:
    """Of one response, whatever its reward: by hand, r - mean = 0 in all estimators, and asymre's shift is constant.

    REINFORCE++ has its mean from the batch, so groups do not matter to it.
    """
    assert [name for name in ADVANTAGES if not compares_nothing(name, 1)] == ["reinforce_plus_plus"]
    assert not any(compares_nothing(name, 2) for name in ADVANTAGES)
    (line,) = told("responses_per_prompt=1")
    assert line.startswith("Note: responses_per_prompt=1 under advantage=group_mean_std: a response is compared with")


def test_headroom() -> None:
    assert without_headroom(0.0).startswith("The base model solves nothing")
    assert without_headroom(0.001) == without_headroom(0.949) == ""
    assert without_headroom(0.95).startswith("The base model solves 95.0 % already: at most 0.050 can be gained")


def test_a_suite_in_which_nothing_can_be_learned_is_told_before_and_in_the_report(lagbench) -> None:
    """Two tokens are too short for any answer: the base model scores 0, and all rewards are equal."""
    ran = lagbench(
        *("run", "quick", "objectives=spo", "lags=0,16", "updates=2", *SMALL, "responses_per_prompt=1"),
        *("max_tokens=2", "--results", "out"),
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stderr.splitlines()
    begins = next(i for i, line in enumerate(lines) if line.startswith("[2/4]"))
    for start in (
        "Adding policy_gradient-",
        "Note: lag 16 in 2",
        "Note: responses_per_prompt=1",
        "Note: The base model",
    ):
        assert any(line.startswith(start) for line in lines[:begins]), start
    printed = " ".join(ran.stdout.split())
    assert "The base model solves nothing: without a right response there is no reward to learn from." in printed
    assert "In 3 of 3 runs every group of every update had equal rewards, which teach nothing" in printed


def examples() -> list[str]:
    """The commands of README that name some objectives: its usage examples, the real model's among them."""
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    return [line.partition("#")[0] for line in re.findall(r"^lagbench run .*objectives=.*$", text, re.MULTILINE)]


def test_readme_has_its_three_examples() -> None:
    assert len(examples()) == 3


@pytest.mark.parametrize("command", examples())
def test_readmes_examples_give_a_leaderboard_without_dashes(command: str, tmp_path: Path) -> None:
    """Wherever the baseline gains anything at all; the scores are made up, the cells are those of the command."""
    words = [word for word in shlex.split(command) if word.startswith(("objectives=", "lags="))]
    suite = load_suite("quick", [*words, "updates=12", "prompts_per_update=4"])
    runs = [*cells(suite), *references(suite, cells(suite))]
    claim(suite, runs, INPUTS, tmp_path, HOW)
    for run in runs:
        write_cell(run, tmp_path / run.name, scored(run))
    table = leaderboard(compare(narrowed(gather([tmp_path]), [run.name for run in runs])))
    assert table.rows and not [row for row in table.rows if grid.NOTHING in row]
