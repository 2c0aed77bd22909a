"""What changed between two reports, and whether it is more than noise: by value, and against scipy."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_report import NAMES, SCHEDULES, empty_report, hostile_report, made_up_report
from rich.console import Console
from scipy import stats

from lagbench import InputError
from lagbench.harness.report import diff as module
from lagbench.harness.report.diff import (
    BEYOND,
    IDENTICAL,
    NO_CLAIM,
    NO_SCORE,
    NOT_COMPARABLE,
    SAME_SCORES,
    WITHIN,
    Changed,
    Diff,
    diff,
    load_report,
    summary,
    to_markdown,
    to_terminal,
    welch,
)
from lagbench.harness.report.document import Interval, Report

REPORT = made_up_report(NAMES[:2], SCHEDULES[:2])  # four rows, five seeds; the last row lacks seeds 3 and 4
ZERO, FOUR = ("policy_gradient", "constant:0"), ("policy_gradient", "constant:4")


def with_scores(report: Report, scores: dict[tuple[str, str], list[float] | dict[int, float]]) -> Report:
    """The report with these scores by seed of rows, named by objective and schedule, and with other weights there."""
    rows = []
    for row in report.rows:
        given = scores.get((row.objective, row.lag))
        if given is not None:
            by_seed = given if isinstance(given, dict) else dict(enumerate(given))
            found = {"pass@1": Interval(mean=float(np.mean(list(by_seed.values()))))} if by_seed else {}
            row = row.model_copy(update={"by_seed": by_seed, "seeds": tuple(by_seed), "scores": found})
        rows.append(row)
    cells = (
        cell.model_copy(update={"weights_digest": f"other {cell.weights_digest}"})
        if (cell.objective, cell.lag) in scores
        else cell
        for cell in report.cells
    )
    return report.model_copy(update={"rows": tuple(rows), "cells": tuple(cells)})


def verdicts(found: Diff) -> dict[tuple[str, str], str]:
    return {(row.objective, row.lag): row.verdict for row in found.rows}


def printed(found: Diff, width: int = 100) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    for part in to_terminal(found, width):
        console.print(part)
    return console.export_text().splitlines()


# ---- nothing changed


@pytest.mark.parametrize("report", [REPORT, empty_report(), hostile_report(), made_up_report(seeds=1, search=True)])
def test_a_report_differs_from_itself_in_nothing(report: Report) -> None:
    found = diff(report, report)
    assert found.nothing_changed and not found.changed_beyond_noise
    assert {row.verdict for row in found.rows} <= {IDENTICAL, SAME_SCORES, NO_SCORE}
    assert "Nothing changed." in printed(found)
    assert "- Nothing changed." in to_markdown(found)


def test_identical_means_the_same_weights_of_all_seeds_and_the_same_scores() -> None:
    assert verdicts(diff(REPORT, REPORT))[ZERO] == IDENTICAL
    unknown = REPORT.model_copy(
        update={"cells": tuple(cell.model_copy(update={"weights_digest": ""}) for cell in REPORT.cells)}
    )
    assert set(verdicts(diff(unknown, unknown)).values()) == {SAME_SCORES}
    assert diff(unknown, unknown).nothing_changed
    one = tuple(c.model_copy(update={"weights_digest": "other"}) if i == 2 else c for i, c in enumerate(REPORT.cells))
    found = diff(REPORT, REPORT.model_copy(update={"cells": one}))
    assert verdicts(found)[ZERO] == SAME_SCORES and not found.nothing_changed
    assert found.same_weights == (17, 18)
    rescored = with_scores(REPORT, {ZERO: [0.1, 0.2, 0.3, 0.4, 0.5]}).model_copy(update={"cells": REPORT.cells})
    assert verdicts(diff(REPORT, rescored))[ZERO] != IDENTICAL


# ---- rows


def test_the_same_seeds_are_paired() -> None:
    """Differences 0.1, 0.2, 0.3: t = 0.2 / (0.1 / sqrt(3)) with two degrees of freedom, p = 0.0742."""
    first = with_scores(REPORT, {ZERO: [0.1, 0.5, 0.3], FOUR: [0.5, 0.5, 0.6]})
    second = with_scores(REPORT, {ZERO: [0.2, 0.7, 0.6], FOUR: [0.5, 0.6, 0.7]})
    row = diff(first, second).rows[0]
    assert row.scores == pytest.approx((0.3, 0.5)) and row.test == "paired t"
    assert row.p == pytest.approx(0.07417990) == stats.ttest_rel([0.2, 0.7, 0.6], [0.1, 0.5, 0.3]).pvalue
    half = stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert (row.change.mean, row.change.low, row.change.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert row.p_adjusted == pytest.approx(2 * row.p) and row.verdict == WITHIN  # two rows are not identical
    assert row.p_exact is None  # three seeds cannot reach 0.05


def test_other_seeds_take_welch() -> None:
    was, now = [0.50, 0.52, 0.51, 0.49], {5: 0.61, 6: 0.64, 7: 0.60}
    row = diff(with_scores(REPORT, {ZERO: was}), with_scores(REPORT, {ZERO: now})).rows[0]
    expected = stats.ttest_ind(list(now.values()), was, equal_var=False)
    bounds = expected.confidence_interval()
    assert row.test == "Welch t" and row.p == pytest.approx(expected.pvalue)
    assert (row.change.low, row.change.high) == pytest.approx((bounds.low, bounds.high))
    assert row.seeds == ((0, 1, 2, 3), (5, 6, 7)) and row.verdict == BEYOND
    assert row.p_adjusted == row.p  # the other rows are identical


@pytest.mark.filterwarnings("ignore:Precision loss")  # scipy's, of scores that are nearly all the same
@settings(deadline=None)
@given(*[st.lists(st.integers(0, 512).map(lambda solved: solved / 512), min_size=3, max_size=8)] * 2)
def test_welch_is_that_of_scipy(first: list[float], second: list[float]) -> None:
    a, b = np.array(first), np.array(second)
    found = welch(a, b)
    if np.ptp(a) == np.ptp(b) == 0:
        assert np.isnan(found.estimate.low) and (found.p == 1) == (a[0] == b[0])
        return
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
    assert found.estimate.high == pytest.approx(expected.confidence_interval().high, abs=1e-12)


def test_welch_where_no_side_spreads() -> None:
    """The share of relabelings that separate them: 2 of 20 for three and three, 1 of 35 for three and four."""
    assert welch(np.full(3, 0.1), np.full(3, 0.2)).p == pytest.approx(0.1)
    assert welch(np.full(3, 0.1), np.full(4, 0.2)).p == pytest.approx(1 / 35)
    assert welch(np.full(3, 0.1), np.full(4, 0.1)).p == 1
    assert np.isnan(welch(np.array([0.1, 0.2]), np.full(4, 0.2)).p)


def test_verdicts() -> None:
    rows = [(name, lag) for name in NAMES[:3] for lag in SCHEDULES[:2]]
    report = made_up_report(NAMES[:3], SCHEDULES[:2])
    spread = np.array([0.001, 0.002, 0.003, 0.004, 0.005])
    was = dict(zip(rows, [0.5 + spread, 0.5 + spread, [0.5, 0.6], [0.5, 0.6], []], strict=False))
    now = dict(
        zip(rows, [0.6 + spread[::-1], 0.5 + spread[[1, 0, 2, 4, 3]], [0.9, 1.0], [0.5, 0.6], [0.5]], strict=False)
    )
    first, second = (with_scores(report, {k: list(map(float, v)) for k, v in s.items()}) for s in (was, now))
    second = second.model_copy(
        update={"cells": tuple(c.model_copy(update={"weights_digest": f"x{c.weights_digest}"}) for c in second.cells)}
    )
    assert list(verdicts(diff(first, second)).values()) == [
        BEYOND,
        WITHIN,
        NO_CLAIM,
        SAME_SCORES,
        NO_SCORE,
        SAME_SCORES,
    ]
    assert diff(first, second).changed_beyond_noise
    counted = "1 more than noise, 1 within noise, 1 no claim (fewer than 3 seeds), 2 same scores, 1 no score"
    assert summary(diff(first, second))[0] == f"Rows in both: {counted}."


def test_holm_is_over_the_rows_that_are_not_identical() -> None:
    """p = 0.0305 of a row: significant alone, not beside other rows that changed, whether or not they have scores."""
    was, now = [0.5, 0.5, 0.5, 0.5], [0.51, 0.53, 0.52, 0.54]
    alone = diff(with_scores(REPORT, {ZERO: was}), with_scores(REPORT, {ZERO: now}))
    p = stats.ttest_rel(now, was).pvalue
    assert p == pytest.approx(0.03047, abs=1e-5) and alone.tests == 1
    assert alone.rows[0].p_adjusted == pytest.approx(p) and alone.rows[0].verdict == BEYOND
    others = {key: [] for key in (FOUR, ("asympo", "constant:0"))}
    crowded = diff(with_scores(REPORT, {ZERO: was} | others), with_scores(REPORT, {ZERO: now} | others))
    assert crowded.tests == 3 and crowded.rows[0].p_adjusted == pytest.approx(3 * p)
    assert crowded.rows[0].verdict == WITHIN and not crowded.changed_beyond_noise


@pytest.mark.parametrize(("shift", "verdict"), [(0.0044, BEYOND), (0.0046, WITHIN)])
def test_the_level_is_5_percent(shift: float, verdict: str) -> None:
    now = [0.51 - shift, 0.53 - shift, 0.52 - shift, 0.54 - shift]
    row = diff(with_scores(REPORT, {ZERO: [0.5] * 4}), with_scores(REPORT, {ZERO: now})).rows[0]
    assert row.p_adjusted == pytest.approx(0.05, abs=1e-3) and row.verdict == verdict


def test_runs_of_one_objective_twice_are_seldom_beyond_noise() -> None:
    """4 rows with other weights and noise of seeds alone: at most 5 % of diffs may flag one; here 300 of them."""
    draws, flagged = np.random.default_rng(0), 0
    keys = [(row.objective, row.lag) for row in REPORT.rows]
    for i in range(300):
        seeds = ({"first": 0, "second": 0}, {"first": 0, "second": 5})[i % 2]  # paired, and by Welch
        reports = [
            with_scores(REPORT, {k: {start + s: 0.5 + 0.02 * draws.standard_normal() for s in range(5)} for k in keys})
            for start in seeds.values()
        ]
        flagged += diff(*reports).changed_beyond_noise
    assert flagged <= 300 * 0.05 + 2 * (300 * 0.05 * 0.95) ** 0.5


# ---- mirror


def mirrored(found: Diff) -> Diff:
    """The same seen from the other side."""
    swapped = {
        name: tuple(sorted((Changed(c.what, c.second, c.first) for c in getattr(found, name)), key=str))
        for name in ("settings", "made_with", "grid", "gates", "cells")
    }
    rows = tuple(
        replace(
            row,
            seeds=row.seeds[::-1],
            scores=row.scores[::-1],
            collapsed=row.collapsed[::-1],
            change=row.change
            and replace(row.change, mean=-row.change.mean, low=-row.change.high, high=-row.change.low),
        )
        for row in found.rows
    )
    standings = tuple(replace(part, first=part.second, second=part.first) for part in found.standings)
    both = {"names": found.names[::-1], "valid": found.valid[::-1], "rows": rows, "standings": standings}
    return replace(found, **both, **swapped)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_other_way_round_is_the_mirror_image(data: st.DataObject) -> None:
    scores = st.dictionaries(st.integers(0, 5), st.integers(1, 511).map(lambda n: n / 512), max_size=6)
    keys = [(row.objective, row.lag) for row in REPORT.rows]
    first, second = (
        with_scores(REPORT, {k: data.draw(scores) for k in data.draw(st.sets(st.sampled_from(keys)))}) for _ in "ab"
    )
    if data.draw(st.booleans()):
        second = second.model_copy(update={"suite_digest": "other", "settings": {"updates": 3}, "gates": ()})
    there, back = diff(first, second), mirrored(diff(second, first))
    assert json.dumps(table(there)) == json.dumps(table(back))
    assert (there.changed_beyond_noise, there.nothing_changed) == (back.changed_beyond_noise, back.nothing_changed)


def table(found: Diff) -> list:
    """Everything in it as plain values, in an order of its own, numbers to 12 digits."""

    def plain(value: object) -> object:
        if isinstance(value, float):
            return f"{value + 0.0:.12f}"
        if isinstance(value, tuple):
            return [plain(part) for part in value]
        if hasattr(value, "__dataclass_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
        return value if isinstance(value, str | int | None) else str(value)

    lists = (found.settings, found.made_with, found.grid, found.gates, found.cells)
    ordered = [sorted(map(str, changes)) for changes in lists]
    facts = (found.names, found.valid, found.incomparable, found.same_weights, found.tests)
    return [ordered, plain(facts), plain(found.rows), plain(found.standings)]


# ---- everything else that can differ


def test_suites_with_other_settings_are_not_comparable() -> None:
    second = with_scores(REPORT, {ZERO: [0.9, 0.91, 0.92, 0.9, 0.9]}).model_copy(
        update={
            "suite_digest": "other",
            "settings": REPORT.settings | {"updates": 300, "collapse": {"window": 3}},
            "inputs": REPORT.inputs | {"model": "another"},
        }
    )
    found = diff(REPORT, second)
    assert found.incomparable == ("updates", "input model")  # thresholds of the collapse verdict change no score
    assert verdicts(found)[ZERO] == NOT_COMPARABLE and not found.changed_beyond_noise
    assert found.rows[0].p is found.rows[0].p_adjusted is None and found.rows[0].scores[1] == pytest.approx(0.906)
    assert summary(found)[0] == (
        "Not comparable: updates, input model differ. Scores are shown, and nothing is claimed of them."
    )
    assert Changed("updates", "200", "300") in found.settings
    assert Changed("collapse.window", "absent", "3") in found.settings
    lines = printed(found)
    assert any("0.906" in line and line.rstrip().endswith("not comparable") for line in lines)
    assert diff(REPORT, REPORT.model_copy(update={"suite_digest": "other"})).incomparable == ("suite digest",)


def test_what_is_told_besides_scores() -> None:
    failed = {"state": "failed", "reason": "disk full", "weights_digest": ""}
    cells = tuple(
        cell.model_copy(update={"packages": cell.packages | {"torch": "2.14.0"}} | (failed if i == 0 else {}))
        for i, cell in enumerate(REPORT.cells)
    )
    gates = (REPORT.gates[0].model_copy(update={"passed": False}), *REPORT.gates[2:])
    standing = REPORT.standings[0]
    lower = standing.gain_under_lag.model_copy(update={"place": 2, "value": Interval(mean=0.5, low=0.4, high=0.6)})
    standings = (standing.model_copy(update={"gain_under_lag": lower, "hyperparameters": {"clip": 0.3}}),)
    second = REPORT.model_copy(
        update={"cells": cells, "gates": gates, "valid": False, "version": "9", "standings": standings}
    )
    found = diff(REPORT, second)
    assert found.gates == (
        Changed("determinism", "ok", "absent"),
        Changed("lag-0 parity", "ok", "FAILED (what lag-0 parity found)"),
    )
    assert found.made_with == (Changed("LagBench", "0.1.0", "9"), Changed("package.torch", "2.13.0", "2.14.0"))
    assert found.cells == (Changed("policy_gradient-constant-0-seed0", "finished", "failed (disk full)"),)
    assert found.settings == (Changed("policy_gradient.clip", "absent", "0.3"),)
    assert [part.objective for part in found.standings if part.is_change] == ["policy_gradient", "asympo"]
    assert found.valid == (True, False) and not found.nothing_changed
    lines = printed(found)
    assert lines[0].endswith("gates: not all run") and lines[1].endswith("gates: FAILED (NOT VALID)")
    arrow = "\u2192"
    assert f"  determinism: ok {arrow} absent" in lines
    placed = " ".join(next(line for line in lines if line.startswith("policy_gradient")).split())
    measures = f"0.93 \u00b10.06 {arrow} 0.50 \u00b10.10 1 (1\u20132) {arrow} 2 (1\u20132) 0.68 \u00b10.06 2 (1\u20132)"
    assert placed == f"policy_gradient {measures}"


def test_axes_that_only_one_has() -> None:
    second = made_up_report(NAMES[1:3], SCHEDULES[1:3], seeds=4, mismatches=("none", "bf16"))
    found = diff(REPORT, second)
    dash = "\u2013"
    assert found.grid == (
        Changed("objectives of one only", "policy_gradient", "grpo"),
        Changed("schedules of one only", "constant:0", "constant:16"),
        Changed("mismatches of one only", dash, "bf16"),
        Changed("seeds of one only", "4", dash),
    )
    assert list(verdicts(found)) == [("asympo", "constant:4")]
    assert {(part.objective, part.mismatch) for part in found.standings if part.second is None} == {
        ("policy_gradient", "none")
    }


def test_collapses_are_shown() -> None:
    report = made_up_report(NAMES[:2])
    healthy = report.model_copy(
        update={"rows": tuple(row.model_copy(update={"collapses": row.collapses[:2]}) for row in report.rows)}
    )
    found = diff(report, healthy)
    assert not found.nothing_changed
    assert found.rows[9].collapsed == (5, 2)
    assert "| 5 \u2192 2 |" in to_markdown(found)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_fit(width: int) -> None:
    report = made_up_report()
    shifted = {(row.objective, row.lag): {s: v + 0.1 + s / 900 for s, v in row.by_seed.items()} for row in report.rows}
    found = diff(report, with_scores(report, shifted))
    lines = printed(found, width)
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    for row in found.rows:
        assert f"{row.change.mean:+.3f}" in words


def test_many_rows_and_cells_are_counted() -> None:
    report = made_up_report(NAMES, tuple(f"constant:{lag}" for lag in range(7)), seeds=3, points=2, samples=0)
    score = {(row.objective, row.lag): row.by_seed for row in report.rows}
    shifted = {key: {s: v + 0.001 * (s - 1) for s, v in by_seed.items()} for key, by_seed in score.items()}
    shifted[ZERO] = {s: v + 0.1 + 1e-6 * s for s, v in score[ZERO].items()}
    cells = tuple(cell.model_copy(update={"state": "missing"}) for cell in report.cells)
    found = diff(report, with_scores(report, shifted).model_copy(update={"cells": cells}))
    lines = printed(found)
    assert f"  {len(found.cells) - module.MOST_CHANGES} more" in lines and len(found.cells) > 200
    assert "69 rows are left out: no change beyond noise, or none that is claimed." in lines
    assert sum("more than noise" in line for line in lines) == 2  # counted, and shown


def test_hostile_names_are_text() -> None:
    found = diff(REPORT, hostile_report("|x`y\n<b>[z](u)\x1b[31m"))
    for line in printed(found, 80):
        assert line.isprintable(), repr(line)
    for line in to_markdown(found).splitlines():
        assert "<b>" not in line and "`y" not in line.replace("\\`y", "") and line.isprintable()
        assert line.count("|") - line.count("\\|") in (0, 4, 5, 8)


# ---- reading


def test_a_report_is_read_from_a_file_or_a_folder(tmp_path: Path) -> None:
    report = made_up_report(NAMES[:3], search=True)
    inside = tmp_path / "results" / "report"
    inside.mkdir(parents=True)
    (inside / "report.json").write_text(report.model_dump_json())
    for path in (tmp_path / "results", inside, inside / "report.json"):
        assert load_report(path) == report


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is damaged (Expecting value"),
        ('{"format": "lagbench-report@2", "na', "is damaged (Unterminated string"),
        ("\udcff", "is damaged ('utf-8' codec can't decode"),
        ("[" * 100_000, "is damaged (nested too deeply)"),
        ("[1, 2]", "is no report of LagBench"),
        ('{"results": {}}', "is no report of LagBench"),
        ('{"format": 3}', "is no report of LagBench"),
        ('{"format": "lagbench-report@1"}', "has the format 'lagbench-report@1', expected 'lagbench-report@2'"),
        ('{"format": "lagbench-report@2", "name": NaN}', "is damaged (NaN is not a number)"),
        ('{"format": "lagbench-report@2", "name": 3}', "is damaged (name: Input should be a valid string)"),
    ],
)
def test_anything_else_is_one_clear_line(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    for given_path in (path, tmp_path):
        with pytest.raises(InputError) as error:
            load_report(given_path)
        message = str(error.value)
        assert message.startswith(f"{path} {told}") and "\n" not in message and "lagbench report" in message


def test_nothing_there_is_one_clear_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"no report there; expected a report\.json or a folder that holds one"):
            load_report(path)
