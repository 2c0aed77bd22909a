"""The tables of a report in all their forms, by value."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_up_report import HOSTILE, NAMES, bare_report, empty_report, hostile_report, made_up_report
from markdown_it import MarkdownIt
from rich.cells import cell_len
from rich.console import Console

from lagbench.harness.report import grid, tables
from lagbench.harness.report.document import Entry, Held, Interval, Measure, Moment, Report, Row
from lagbench.harness.report.grid import Column, Grid, in_one_line
from lagbench.harness.report.latex import latex_text, to_latex
from lagbench.harness.report.text import probability

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
REPORT = made_up_report(NAMES[:4])
LONG = made_up_report(NAMES, tuple(f"constant:{lag}" for lag in (0, 1, 2, 4, 8, 16, 32)), seeds=2, points=2, samples=0)


def printed(report: Report, width: int) -> list[str]:
    """The lines of a console of that width."""
    console = Console(width=width, file=io.StringIO(), record=True)
    for part in tables.to_terminal(report, width):
        console.print(part)
    return console.export_text().splitlines()


def cells(markdown: str, title: str) -> list[list[str]]:
    """The texts of the table below a heading, as a Markdown parser reads them; its head first."""
    tokens = MARKDOWN.parse(markdown)
    begin = next(i for i, token in enumerate(tokens) if token.type == "inline" and token.content == title)
    rows: list[list[str]] = []
    for token, following in zip(tokens[begin:], tokens[begin + 1 :], strict=False):
        if token.type == "table_close":
            break
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("th_open", "td_open"):
            rows[-1].append(plain(following.children or []))
    return rows


def plain(tokens: list) -> str:
    """The text of inline tokens; anything but text is markup that was not meant."""
    assert {token.type for token in tokens} <= {"text"}, [token.type for token in tokens]
    return "".join(token.content for token in tokens)


def row(report: Report, objective: str, lag: str) -> Row:
    return next(row for row in report.rows if (row.objective, row.lag) == (objective, lag))


# ---- numbers


def test_numbers_as_texts() -> None:
    assert tables.estimate(Interval(mean=0.51349, low=0.5071, high=0.5198)) == "0.513 ±0.006"
    assert tables.estimate(Interval(mean=0.98, low=0.93, high=1.0), 2) == "0.98 ±0.05"  # the longer side
    assert tables.estimate(Interval(mean=0.6), 2) == "0.60"
    assert tables.estimate(Interval(mean=-0.0001, low=-0.1, high=0.1), sign="+") == "+0.000 ±0.100"
    assert tables.estimate(None) == tables.number(None) == tables.bounds(Interval(mean=1.0)) == "\u2013"
    assert tables.bounds(Interval(mean=0.1, low=-0.034, high=0.255)) == "-0.034\u20130.255"
    two = Interval(mean=0.55, values=(0.5, 0.6))
    assert tables.estimate(two, 2) == "0.50, 0.60" and tables.bounds(two) == "0.500, 0.600"
    assert tables.held_text(Held(held=4, lost=16, highest=64)) == "held at 4, lost at 16"
    assert tables.held_text(Held(held=4, lost=None, highest=64)) == "held at 4, open to 64"
    assert tables.held_text(Held(held=64, lost=None, highest=64)) == "held at 64" and tables.held_text(None) == "\u2013"


def test_a_place_has_the_ranks_that_stay_open() -> None:
    measure = REPORT.standings[1].gain_under_lag
    assert tables.place(measure) == "2 (1\u20134)"
    assert tables.place(measure.model_copy(update={"best_rank": 2, "worst_rank": 2})) == "2"
    assert tables.place(measure.model_copy(update={"place": None})) == "\u2013"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0502, "0.0502"), (0.0498, "0.0498"), (0.0449, "0.045"), (0.055, "0.055"), (0.0004, "<0.001"), (None, "\u2013")],
)
def test_p_has_four_digits_where_the_third_would_hide_the_level(p: float | None, text: str) -> None:
    assert probability(p) == text


# ---- gates


@pytest.mark.parametrize("report", [REPORT, empty_report(), LONG], ids=["whole", "empty", "long"])
def test_gates_stand_above_every_table(report: Report) -> None:
    lines = printed(report, 100)
    assert lines[:5] == [tables.gate_line(gate) for gate in report.gates]
    assert lines[0] == "ok: lag-0 parity: what lag-0 parity found"
    assert lines[4] == "not run: groups: what groups found"
    markdown = tables.to_markdown(report)
    assert markdown.index("- not run: groups: what groups found") < markdown.index("|")
    latex = to_latex(report)
    assert latex.splitlines()[4] == "% not run: groups: what groups found"
    assert latex.count("Validity gates not looked at: groups.") == latex.count(r"\begin{table}") == 2


def test_a_failed_gate_marks_everything() -> None:
    report = made_up_report(NAMES[:2], gates=(True, False, True, True, True))
    lines = printed(report, 100)
    assert lines[1] == "FAILED: determinism: what determinism found"
    assert lines[5].startswith("NOT VALID") and sum("(NOT VALID)" in line for line in lines) == 2
    assert tables.to_markdown(report).startswith("# made-up (NOT VALID)\n")
    assert to_latex(report).count(r"\textbf{Not valid}: failed: determinism.") == 2
    assert {line["gates"] for line in read(tables.to_csv(report))} == {"FAILED"}
    assert {line["gates"] for line in read(tables.to_csv(REPORT))} == {"not all run"}


def test_no_gate_is_told() -> None:
    assert printed(bare_report(), 80)[0] == tables.NO_GATES
    assert "Validity gates not looked at: all." in to_latex(bare_report())


# ---- terminals


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("report", [REPORT, made_up_report(NAMES[:3], search=True, mismatches=("none", "bf16"))])
def test_lines_fit_and_no_number_is_cut(report: Report, width: int) -> None:
    lines = printed(report, width)
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    for found in report.rows:
        assert f"{found.scores['pass@1'].mean:.3f}" in words
        assert tables.bounds(found.scores["pass@1"]) in words
    text = re.sub(r" +", " ", " ".join(lines))
    for standing in report.standings:
        for measure in (standing.gain_under_lag, standing.own_retention):
            assert tables.estimate(measure.value, 2) in text and tables.place(measure) in text


def test_what_is_left_out_is_told() -> None:
    assert "Left out for want of room: mean lag, pass@16, retained, vs lag 0." in printed(REPORT, 80)
    assert not any("Left out" in line for line in printed(REPORT, 130))


def test_lines_of_a_terminal() -> None:
    """A leaderboard line and two of the matrix, word for word."""
    lines = [re.sub(r" +", " ", line).strip() for line in printed(REPORT, 140)]
    measures = "0.83 ±0.06 2 (1\u20134) 0.68 ±0.06 3 (1\u20134)"
    assert f"asympo {measures} held at 4, lost at 16 0.31 ±0.01 0/30 behavior" in lines
    found = row(REPORT, "asympo", "constant:16")
    score, retained = found.scores["pass@1"].mean, found.retained.mean
    bounds = f"{score - 0.0143:.3f}\u2013{score + 0.0143:.3f}"
    change = f"{found.against_baseline.value.mean:+.3f} ±0.012*"
    rest = f"{found.scores['pass@16'].mean:.3f} {retained:.2f} ±0.05 {change} {score - 0.6213:+.3f} ±0.015 5"
    assert f"asympo 16 15.5 {score:.3f} {bounds} {rest}" in lines
    assert any(line.startswith("decoupled_ppo in_flight:8") and line.endswith("1 failed, 1 missing") for line in lines)
    assert any(line.startswith("decoupled_ppo 64") and line.endswith("collapsed 5/5") for line in lines)
    assert "decoupled_ppo at in_flight:8: seed 3: OSError: no space left on device" in lines


def test_a_long_matrix_gives_way_to_one_by_objective_and_lag() -> None:
    lines = printed(LONG, 120)
    assert "All 70 lines with intervals are in the report's files." in lines
    scores = [f"{row(LONG, 'spo', lag).scores['pass@1'].mean:.3f}" for lag in LONG.schedules]
    assert [word.rstrip("*") for word in [line.split() for line in lines if line.startswith("spo")][1][1:]] == scores
    short = made_up_report(NAMES)
    assert len(short.rows) == tables.MOST_LINES and not any("with intervals" in line for line in printed(short, 120))


def test_many_notes_are_counted() -> None:
    report = REPORT.model_copy(update={"notes": tuple(f"note {i}" for i in range(100))})
    lines = printed(report, 80)
    assert "note 38" in lines and "note 39" not in lines  # the exam is the first
    assert any(re.fullmatch(r"\d+ more notes are in the report's files\.", line) for line in lines)
    assert "- note 99" in tables.to_markdown(report)


def test_what_a_terminal_would_obey_is_written_out() -> None:
    for line in printed(hostile_report(), 80):
        assert line.isprintable(), repr(line)
    assert any("[bold]" in line for line in printed(hostile_report("[bold]x[/bold]"), 200))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.text("ab \t|[\u4e2d", max_size=20), min_size=4, max_size=4), max_size=4), st.integers(12, 120)
)
def test_any_grid_fits_any_terminal(rows: list[list[str]], width: int) -> None:
    columns = (Column("who", "left", key=True), Column("a", drop=1), Column("long head", wraps=True), Column("n"))
    short = tuple((name, a[:5], text, n[:3]) for name, a, text, n in rows)
    console = Console(width=width, file=io.StringIO(), record=True)
    for part in grid.to_terminal(Grid("title", columns, short), width):
        console.print(part)
    shown = console.export_text()
    assert all(cell_len(line) <= width for line in shown.splitlines())
    if width >= 90:  # room for all columns: nothing is lost but white space
        for character in "".join("".join(line) for line in short):
            assert character.isspace() or character in shown
            shown = shown if character.isspace() else shown.replace(character, "", 1)


# ---- missing cells and claims


def test_a_missing_cell_is_a_dash_with_a_note() -> None:
    report = empty_report()
    lines = [line.split() for line in printed(report, 130)]
    assert ["asympo", "4", *["\u2013"] * 6, "0", "5", "missing"] in lines
    assert cells(tables.to_markdown(report), "pass@1 by objective and lag")[1:] == [
        ["policy_gradient", "\u2013", "\u2013"],
        ["asympo", "\u2013", "\u2013"],
    ]
    assert "--: no score. Incomplete: policy\\_gradient at constant:0: 5 missing;" in to_latex(report)
    assert read(tables.to_csv(report))[0]["pass@1"] == ""


def test_a_failed_cell_has_its_reason_everywhere() -> None:
    reason = "seed 3: OSError: no space left on device"
    assert f"- decoupled_ppo at in_flight:8: {reason}" in tables.to_markdown(REPORT)
    assert f"decoupled\\_ppo at in\\_flight:8: 1 failed, 1 missing ({reason})" in to_latex(REPORT)
    assert read(tables.to_csv(REPORT))[-1]["reasons"] == reason
    told = REPORT.model_copy(update={"notes": (f"decoupled_ppo at in_flight:8: {reason}",)})
    assert tables.to_markdown(told).count(reason) == 1  # not twice where a note says it


def test_marks_stand_where_a_difference_is_significant_and_nowhere_else() -> None:
    significant = {(r.objective, r.lag) for r in REPORT.rows if r.against_baseline and r.against_baseline.significant}
    assert 0 < len(significant) < len(REPORT.rows)
    head, *lines = cells(tables.to_markdown(REPORT), "pass@1 by objective and lag")
    assert head == ["objective", "0", "4", "16", "64", "periodic:10", "in_flight:8"]
    marked = {
        (line[0], lag) for line in lines for cell, lag in zip(line[1:], REPORT.schedules, strict=True) if "*" in cell
    }
    assert marked == significant
    head, *lines = cells(tables.to_markdown(REPORT), "All rows")
    assert sum("*" in line[head.index("vs baseline")] for line in lines) == len(significant)


def test_without_claims_there_are_no_marks() -> None:
    """Not even where the document would have some, and the sentence stands there once."""
    family = made_up_report(NAMES[:4], seeds=1, claims=False).family
    report = REPORT.model_copy(update={"family": family})
    assert "*" not in tables.to_markdown(report).replace(r"\*", "*")
    assert not any("*" in line for line in printed(report, 120))
    assert "^{*}" not in to_latex(report) and r"\textbf" not in to_latex(report)
    for text in ("\n".join(printed(report, 120)), tables.to_markdown(report), to_latex(report)):
        assert text.count(family.text) == 1


def test_tuned_columns_stand_where_there_was_a_search() -> None:
    report = made_up_report(NAMES[:2], search=True)
    head, first, _ = cells(tables.to_markdown(report), "Leaderboard")
    assert head[-4:] == ["tuned learning rate", "tuned gain under lag", "tuned own retention", "tuned held, lost"]
    assert first[-4:] == ["0.0003", "0.95 ±0.06", "0.90 ±0.06", "held at 16, lost at 64"]
    head, first, _ = cells(tables.to_markdown(report), "pass@1 at the learning rates found")
    assert first == ["policy_gradient", "0.0003", *["0.601 ±0.013"] * 6]
    assert "tuned" not in tables.to_markdown(made_up_report(NAMES[:2]))


def test_history_of_a_leaderboard() -> None:
    """The newest date first; an objective that was not on it yet is a dash, and one date alone is no history."""
    first = Measure(value=Interval(mean=0.906), place=1, best_rank=1, worst_rank=2)
    second, none = (first.model_copy(update=to) for to in ({"place": 2}, {"place": None, "value": None}))
    old = Entry(objective="asympo", mismatch="none", gain_under_lag=first, own_retention=second)
    new = old.model_copy(update={"gain_under_lag": second})
    other = Entry(objective="grpo", mismatch="none", gain_under_lag=none, own_retention=none)
    moments = [
        Moment(date="2026-01-02", suite_digest="", sources={}, entries=(old,)),
        Moment(date="2026-02-03", suite_digest="", sources={}, entries=(new, other)),
    ]
    markdown = tables.to_markdown(REPORT.model_copy(update={"history": tuple(moments)}))
    assert cells(markdown, "History: gain under lag; own retention") == [
        ["objective", "2026-02-03", "2026-01-02"],
        ["asympo", *[f"0.91, rank {place} (1\u20132); 0.91, rank 2 (1\u20132)" for place in (2, 1)]],
        ["grpo", "\u2013, rank \u2013; \u2013, rank \u2013", "\u2013"],
    ]
    assert "History" not in tables.to_markdown(REPORT.model_copy(update={"history": tuple(moments[:1])}))


# ---- Markdown


def test_markdown_of_hostile_names_is_text() -> None:
    report = hostile_report("|x`y*z\nline<b>_u_ [a](b) $m$ &amp; ~~s~~ \\")
    markdown = tables.to_markdown(report)
    for title in ("Leaderboard", "pass@1 by objective and lag", "Aggregates and cost", "All rows"):
        table = cells(markdown, title)
        assert len({len(line) for line in table}) == 1
    names = [line[0] for line in cells(markdown, "Leaderboard")[1:]]
    assert names == [in_one_line(standing.objective) for standing in report.standings]


@given(WORDS)
@example("a|b`c`*d*_e_[f](g)<h>&lt;~~i~~$j$\\|")
@example("1. one")
@example("__x__ _a__b_ c_d")
@example("<div x")
@example("<!-- x")
@example("# x\n\ny")
def test_markdown_shows_any_text_as_it_is(text: str) -> None:
    shown = in_one_line(text)
    table = Grid("", (Column("head", "left"), Column("b")), ((text, "b"),))
    assert cells("# T\n\n" + "\n".join(grid.to_markdown(table)), "T")[1] == [shown, "b"]
    tokens = MARKDOWN.parse("\n".join(grid.markdown_list([text])))
    inline = [token for token in tokens if token.type == "inline"]
    assert [plain(token.children or []) for token in inline] == ([shown] if shown else [])
    assert {token.type for token in tokens} <= {
        "bullet_list_open", "list_item_open", "paragraph_open", "inline", "paragraph_close", "list_item_close",
        "bullet_list_close",
    }  # fmt: skip


# ---- CSV


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_rows_as_csv() -> None:
    lines = read(tables.to_csv(REPORT))
    assert len(lines) == len(REPORT.rows)
    found, line = row(REPORT, "asympo", "constant:16"), lines[8]
    assert (line["objective"], line["lag"], line["constant_lag"], line["mismatch"]) == (
        "asympo", "constant:16", "16", "none"
    )  # fmt: skip
    assert float(line["pass@1"]) == found.scores["pass@1"].mean
    assert float(line["pass@1_low"]) == found.scores["pass@1"].low
    assert float(line["pass@16"]) == found.scores["pass@16"].mean
    assert [float(line[f"pass@1_seed{seed}"]) for seed in range(5)] == list(found.by_seed.values())
    assert float(line["against_baseline"]) == found.against_baseline.value.mean
    assert (line["against_baseline_p"], line["against_baseline_exact"]) == ("0.0063", "sign flips")
    assert line["against_baseline_significant"] == "True"
    assert float(line["retained_high"]) == found.retained.high
    assert (line["tokens_generated"], line["seconds"]) == ("4096001", "361.7")
    assert float(line["ess_token"]) == found.diagnostics["ess_token"]
    assert lines[0]["against_baseline"] == lines[0]["change_from_lag_0"] == ""  # the baseline, lag 0
    assert lines[-1]["pass@1_seed3"] == "" and lines[-1]["failed"] == lines[-1]["missing"] == "1"
    collapsed = next(line for line in lines if line["collapsed"] == "5")
    assert collapsed["collapses"].startswith("seed 0 entropy 0.0041, limit 0.01, at update 90; seed 1 ")
    columns = list(lines[0])
    assert columns.index("pass@1_seed4") == columns.index("pass@1_seed0") + 4 and len(columns) == len(set(columns))


def test_the_other_csv_files() -> None:
    report = made_up_report(NAMES[:3], search=True)
    files = tables.csv_files(report)
    assert list(files) == ["leaderboard.csv", "pairs.csv", "cells.csv"]
    standing, pair, cell = (read(text)[1] for text in files.values())
    ranks = [standing[f"gain_under_lag_{rank}"] for rank in ("place", "best_rank", "worst_rank")]
    assert ranks == ["2", "1", "3"] and standing["own_retention_place"] == "2"
    assert float(standing["gain_under_lag"]) == report.standings[1].gain_under_lag.value.mean
    assert float(standing["own_retention_low"]) == report.standings[1].own_retention.value.low
    assert (standing["held_at"], standing["lost_at"], standing["highest_rate"]) == ("4", "16", "0.095")
    assert (standing["reads"], standing["hyperparameters"]) == ("behavior_logprobs", '{"epsilon": 0.2}')
    assert (standing["aggregate"], standing["paper_aggregate"]) == ("seq_mean_token_mean", "token_mean")
    assert float(standing["retained_above_0.5"]) == report.standings[1].profile[14]
    assert (standing["tuned_learning_rate"], standing["tuned_lost_at"]) == ("0.0003", "64")
    assert (pair["first"], pair["second"]) == ("policy_gradient", "grpo")
    assert float(pair["gain_under_lag_p_adjusted"]) == report.pairs[1].gain_under_lag.p_adjusted
    assert float(pair["own_retention_p_charged"]) == report.pairs[1].own_retention.p_charged
    assert (cell["seed"], cell["state"], cell["command"]) == ("1", "finished", report.cells[1].command)
    assert cell["packages"] == "torch 2.13.0; numpy 2.4.6; lagbench 0.1.0"
    assert float(cell["pass@1"]) == report.cells[1].pass_at_1
    assert read(tables.to_csv(report))[0]["tuned_pass@1"] == "0.6013"
    assert tables.csv_files(bare_report()) == {}


def test_any_text_can_be_written_and_read_back(tmp_path: Path) -> None:
    """Line ends and quotes inside of cells, and half a surrogate pair, which no file can hold."""
    report = hostile_report(HOSTILE + '",\r\n"=1+1')
    for number, text in enumerate([tables.to_csv(report), *tables.csv_files(report).values()]):
        (tmp_path / str(number)).write_text(text, encoding="utf-8", newline="")
    lines = read((tmp_path / "0").read_bytes().decode())
    assert len(lines) == len(report.rows)
    assert lines[0]["objective"] == report.rows[0].objective.replace("\ud800", "\\ud800")
    (tmp_path / "md").write_text(tables.to_markdown(report), encoding="utf-8")


# ---- LaTeX

COMMANDS = {
    "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">",
    "textbar": "|", "char34": '"', "ldots": "\u2026",
}  # fmt: skip


def typeset(source: str) -> str:
    """What LaTeX typesets of text mode source, by another way: it refuses what would not be plain text."""
    shown, i, previous = "", 0, ""
    source = source.replace(r"$\pm$", "\u00b1")
    while i < len(source):
        c = source[i]
        if c == "\\" and source[i + 1] in "{}$&#%_":
            shown, i, previous = shown + source[i + 1], i + 2, ""
        elif c == "\\":
            name = re.match(r"\\([a-z]+\d*)\{\}", source[i:])
            assert name, source[i:]
            shown, i, previous = shown + COMMANDS[name[1]], i + len(name[0]), ""
        elif c in "{}":
            i, previous = i + 1, ""
        else:
            assert (c.isascii() or c == "\u00b1") and c not in '$&#%_~^<>|"', c
            if c == "-" and previous == "-":
                shown, i, previous = shown[:-1] + "\u2013", i + 1, ""
                continue
            assert previous + c not in ("''", ",,", "``", "?`", "!`")
            shown, i, previous = shown + c, i + 1, c
    return shown


@given(WORDS)
@example("policy_gradient & 50% #1 ~x^2 \\{}$ \"q\" 'r' --- ,, `` ?` [a]* <b> | \u00b1 \u2013 \u2026 \u4e2d")
def test_latex_typesets_any_text_as_it_is(text: str) -> None:
    source = latex_text(text)
    assert source.isascii() and source.count("{") - source.count("\\{") == source.count("}") - source.count("\\}")
    assert not source.startswith(("[", "*"))  # an argument of the line break before it
    expected = "".join(
        c if c.isascii() or c in "\u00b1\u2013\u2026" else f"[U+{ord(c):04X}]" for c in in_one_line(text)
    )
    assert typeset(source) == expected


@pytest.mark.parametrize(
    "report", [REPORT, hostile_report(), empty_report(), bare_report(), made_up_report(NAMES[:2], search=True)]
)
def test_latex_tables_are_well_formed(report: Report) -> None:
    source = to_latex(report)
    assert source.isascii()
    bare = re.sub(r"^%.*$|\\[\\{}&%#$_]", "", source, flags=re.MULTILINE)
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    for name in ("table", "tabular"):
        assert source.count(rf"\begin{{{name}}}") == source.count(rf"\end{{{name}}}")
    for columns, body in re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}(.*?)\\end\{tabular\}", source, re.DOTALL):
        for line in body.splitlines():
            if line.endswith(r" \\"):
                assert line.replace(r"\&", "").count("&") == len(columns) - 1


def test_latex_captions_say_what_the_numbers_are() -> None:
    for caption in re.findall(r"\\caption\[.*?\]\{(.*)\}", to_latex(REPORT)):
        assert "3 to 5 seeds (0--4)" in caption
        assert "Scores are on 128 held-out problems of chain, 16 samples each." in caption
        assert r"$\pm$: longer side of the 95\,\% interval, over seeds (Student $t$" in caption
        assert "Lag is simulated" in caption
    assert f"under the same schedule (18 planned tests). {REPORT.family.mark}" in to_latex(REPORT)
    assert r"Base model: 31.2\,\%." in to_latex(REPORT)


def test_latex_cells_by_value() -> None:
    source = to_latex(REPORT)
    score = 100 * row(REPORT, "asympo", "constant:64").scores["pass@1"].mean
    assert rf"{score:.1f}\,{{\scriptsize$\pm$\,1.4}}\rlap{{$^{{*}}$}}" in source
    assert (
        r"asympo & 0.83\,{\scriptsize$\pm$\,0.06} & 2 (1--4) & 0.68\,{\scriptsize$\pm$\,0.06} & 3 (1--4) \\" in source
    )
    below = REPORT.rows[0].model_copy(update={"scores": {"pass@1": Interval(mean=-0.5)}})
    assert "& $-$50.0 &" in to_latex(REPORT.model_copy(update={"rows": (below, *REPORT.rows[1:])}))


def test_latex_bold_is_the_best_only_where_it_is_significantly_better() -> None:
    assert r"\textbf" not in to_latex(REPORT)  # nothing is better than the baseline in it
    found = row(REPORT, "asympo", "constant:64")
    better = found.against_baseline.model_copy(update={"value": Interval(mean=0.2), "significant": True})
    best = found.model_copy(update={"scores": {"pass@1": Interval(mean=0.9)}, "against_baseline": better})
    source = to_latex(REPORT.model_copy(update={"rows": tuple(best if r is found else r for r in REPORT.rows)}))
    assert re.findall(r"\\textbf\{.*?\}", source) == [r"\textbf{90.0}"]
    unsure = best.model_copy(update={"against_baseline": better.model_copy(update={"significant": False})})
    source = to_latex(REPORT.model_copy(update={"rows": tuple(unsure if r is found else r for r in REPORT.rows)}))
    assert r"\textbf" not in source
    alone = REPORT.model_copy(update={"rows": REPORT.rows[6:]})  # the best that is left is worse than the baseline
    assert row(alone, "asympo", "constant:64").against_baseline.significant and r"\textbf" not in to_latex(alone)
    sure = REPORT.standings[0].gain_under_lag.model_copy(update={"worst_rank": 1})
    first = REPORT.standings[0].model_copy(update={"gain_under_lag": sure})
    source = to_latex(REPORT.model_copy(update={"standings": (first, *REPORT.standings[1:])}))
    assert r"policy\_gradient & \textbf{0.93}" in source and "bold: surely the first" in source


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here: LaTeX tables are not compiled")
def test_latex_compiles(tmp_path: Path) -> None:
    reports = [REPORT, hostile_report(), empty_report(), bare_report()]
    body = "\n".join(to_latex(report) + r"\clearpage" for report in reports)
    document = f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (tmp_path / "paper.tex").write_text(document, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    if "booktabs.sty' not found" in done.stdout:
        pytest.skip("no booktabs here: LaTeX tables are not compiled")
    assert done.returncode == 0, done.stdout[-2000:]
