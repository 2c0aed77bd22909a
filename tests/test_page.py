"""The page of a report: what it says, as parsed; that nothing in a report gets to act; how it behaves in Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from made_up_report import (
    HOSTILE,
    NAMES,
    SCHEDULES,
    bare_report,
    empty_report,
    hostile_report,
    large_report,
    made_up_report,
)

from lagbench.harness.report.document import Difference, Interval, Report
from lagbench.harness.report.page import page as page_module
from lagbench.harness.report.page import tables
from lagbench.harness.report.page.charts import BASELINE, Line, Panel, draw, range_of, spans_orders
from lagbench.harness.report.page.grids import INK, LEVELS, color, contrast, heat_maps, win_matrices
from lagbench.harness.report.page.page import to_html
from lagbench.harness.report.page.plots import thinned
from lagbench.harness.report.page.table import MOST_LINES, number, safe_json
from lagbench.harness.report.text import count, duration, estimate, excerpt, number_list, one_line, share, visible

VOID = {"meta", "link", "input", "br", "hr", "img"}
MINUS = "\u2212"


class Parsed(HTMLParser):
    """A page as a browser reads it: elements in order with their attributes and texts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        """Everything between tags, one space between pieces."""
        return " ".join(" ".join(self.texts).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report() -> Report:
    return made_up_report(search=True, moments=3)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return to_html(report)


@pytest.fixture(scope="module")
def parsed(page: str) -> Parsed:
    return Parsed(page)


@pytest.fixture(scope="module")
def large_page() -> str:
    return to_html(large_report())


@pytest.fixture(scope="module")
def hostile_page() -> str:
    return to_html(hostile_report())


# ---- numbers and texts


def test_numbers_are_written_by_value() -> None:
    assert [share(0.51249), share(-0.0004), share(-0.25), share(None)] == ["0.512", "0.000", f"{MINUS}0.250", "\u2013"]
    assert [share(math.nan), share(-math.inf)] == ["NaN", f"{MINUS}\u221e"]
    assert estimate(Interval(mean=0.512, low=0.4981, high=0.5259)) == "0.512 [0.498, 0.526]"
    assert estimate(Interval(mean=0.512)) == "0.512"
    assert [count(999), count(4_096_000), count(2.4576e9)] == ["999", "4.1 M", "2.46 G"]
    assert [duration(72.3), duration(361.7), duration(2 * 3600)] == ["72.3 s", "6.03 min", "2 h"]
    assert number_list([0, 1, 2, 4, 6, 7]) == "0\u20132, 4, 6\u20137"


def test_characters_that_a_browser_hides_or_obeys_are_written_out() -> None:
    assert visible("a\x00b\u202ec\ud800d\u2028") == "a[U+0000]b[U+202E]c[U+D800]d[U+2028]"
    assert visible("tab\tline\n\u00e9 \U0001f469\u200d\U0001f52c") == "tab\tline\n\u00e9 \U0001f469\u200d\U0001f52c"
    assert one_line("a\n b" + "c" * 50, 11) == "a bcc\u2026ccccc"


def test_a_long_response_is_cut_in_its_middle_and_says_so() -> None:
    long = "begin " + "x" * 100_000 + " end"
    shown = excerpt(long, 4000)
    assert shown.startswith("begin ") and shown.endswith(" end") and len(shown) < 4100
    assert f"{len(long) - 4000:,} characters left out" in shown
    assert excerpt("short", 4000) == "short"


def test_samples_stop_at_what_a_page_can_carry() -> None:
    few = made_up_report()
    long = tuple(sample.model_copy(update={"response": "y" * 100_000}) for sample in few.samples * 30)
    table = tables.samples(few.model_copy(update={"samples": long}))
    assert 0 < len(table.lines) < len(long)
    assert table.note == f"{len(long) - len(table.lines)} more are in report.json."


def test_thinning_keeps_both_ends() -> None:
    assert thinned(range(101), 5) == [0, 25, 50, 75, 100]
    assert thinned(range(3), 5) == [0, 1, 2]


# ---- what the page says


def test_gates_come_before_every_number(page: str, parsed: Parsed) -> None:
    text = parsed.text
    assert page.startswith("<!DOCTYPE html>") and not re.search(r"\d\.\d", text[: text.index("Validity gates")])
    assert page.index('id="validity"') < page.index('id="summary"') < page.index('id="leaderboard"')


def numbers(report: Report) -> Iterator[str]:
    """Every measured number of a report, written independently of the page's own helpers."""

    def fixed(value: float) -> str:
        return f"{abs(value):.3f}" if round(value, 3) == 0 else f"{value:.3f}".replace("-", MINUS)

    def spread(found: Interval | None, write: Callable[[float], str] = fixed) -> Iterator[str]:
        for value in (found.mean, found.low, found.high) if found else ():
            yield write(value) if value is not None else ""

    def four(value: float) -> str:
        return f"{value:.4g}".replace("-", MINUS)

    def compared(found: Difference | None) -> Iterator[str]:
        if found:
            yield from spread(found.value)
            yield from (fixed(p) for p in (found.p, found.p_exact, found.p_adjusted, found.p_charged) if p is not None)

    for row in report.rows:
        for score in (*row.scores.values(), row.retained, row.change_from_lag_0, row.collapse_rate):
            yield from spread(score)
        yield from compared(row.against_baseline)
        yield from map(fixed, row.by_seed.values())
        yield from map(four, row.diagnostics.values())
        yield from (f"update {collapse.update}: {collapse.reason} 0.0041 (limit 0.01)" for collapse in row.collapses)
        yield from map(four, (row.lag_mean or 0, row.lag_max or 0, row.cost.updates_per_second or 0))
    for standing in report.standings:
        measures = (standing.gain_under_lag.value, standing.own_retention.value)
        for found in (*measures, standing.gain_at_lag_0, standing.iqm, standing.collapse_rate):
            yield from spread(found)
        yield f"held at {standing.held.held} " + (
            f"lost at {standing.held.lost}" if standing.held.lost else "open to 64"
        )
        yield from map(fixed, (standing.optimality_gap or 0, *standing.profile))
        yield f"{standing.collapsed} of {standing.runs}"
        yield from (fixed(value) for step in standing.survival for value in (step.alive, step.low, step.high))
        if standing.tuned:
            for found in (standing.tuned.gain_under_lag, standing.tuned.own_retention, *standing.tuned.scores.values()):
                yield from spread(found)
            yield from map(fixed, standing.tuned.search.values())
    for pair in report.pairs:
        yield from compared(pair.gain_under_lag)
        yield from compared(pair.own_retention)
        yield fixed(pair.probability_of_improvement or 0)
    for curve in report.curves:
        yield from (fixed(value) for value in curve.measures["reward"] if value is not None)
        for name in ("nll_positive", "nll_negative", "nll_ratio"):
            yield from (four(value) for value in curve.measures[name] if value is not None)
    for evaluation in report.evaluations:
        yield from (text for score in evaluation.scores.values() for text in spread(score))
    for cell in report.cells:
        yield from (cell.command, cell.id[:12], cell.weights_digest[:12])
    if report.power:
        yield from (f"{v:.4f}" for found in report.power.finds for v in (found.sd, found.detectable, found.marked) if v)
    for moment in report.history:
        yield from (text for entry in moment.entries for text in spread(entry.own_retention.value))


def test_every_number_is_on_the_page(report: Report, parsed: Parsed) -> None:
    text = parsed.text
    assert {number for number in numbers(report) if number not in text} == set()


def test_the_same_report_gives_the_same_bytes(report: Report, page: str) -> None:
    assert to_html(Report.model_validate_json(report.model_dump_json())) == page


def test_ids_are_unique_and_every_reference_has_its_target(page: str, parsed: Parsed) -> None:
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = re.findall(r"url\(#([^)]+)\)", page)
    for _, attributes in parsed.elements:
        wanted += (attributes.get("aria-labelledby") or "").split()
        link = attributes.get("href") or "data:"
        assert link.startswith(("#", "data:"))
        wanted += [link[1:]] if link.startswith("#") else []
    assert set(wanted) <= set(ids)


def test_tables_charts_and_landmarks_have_names(page: str, parsed: Parsed) -> None:
    assert len(parsed.of("main")) == len(parsed.of("h1")) == len(parsed.of("header")) == len(parsed.of("footer")) == 1
    assert len(parsed.of("caption")) == len(parsed.of("table"))
    assert all(attributes.get("scope") in ("row", "col") for attributes in parsed.of("th"))
    charts = [attributes for attributes in parsed.of("svg") if "aria-hidden" not in attributes]
    assert len(charts) > 20 and all(chart["role"] == "img" and chart["aria-labelledby"] for chart in charts)
    assert len(parsed.of("figure")) == len(charts) == page.count("The same as a table")


def test_a_failed_gate_is_said_first_and_an_open_one_is_not_held() -> None:
    page = to_html(made_up_report(NAMES[:2], SCHEDULES[:2], gates=(True, False, True, True, None)))
    text = Parsed(page).text
    assert text.index("NOT VALID") < text.index("Validity gates") < text.index("FAILED determinism")
    assert "1 of 5 validity gates failed: determinism" in text and "not run groups" in text
    assert "NOT VALID" not in Parsed(to_html(made_up_report(NAMES[:2], SCHEDULES[:2]))).text


def test_with_two_seeds_nothing_is_claimed() -> None:
    report = made_up_report(NAMES[:3], SCHEDULES[:2], seeds=2, claims=False)
    text = Parsed(to_html(report)).text
    assert "Too few seeds for claims." in text and report.family.text in text
    assert tables.BETTER not in text and tables.WORSE not in text
    assert {line[10].text for line in tables.matrix(report).lines} == {"", "no claim"}
    assert not tables.best_rows(report)


def test_best_is_bold_only_where_it_is_more_than_noise() -> None:
    report = made_up_report(NAMES[:3], ("constant:16",))
    first, *others = report.rows

    def best(significant: tuple[bool, bool], scores: tuple[float, float, float]) -> list[str]:
        rows = []
        for row, score, flag in zip(report.rows, scores, (None, *significant), strict=True):
            found = row.against_baseline
            judged = found.model_copy(update={"significant": flag}) if found else None
            scored = {"scores": {"pass@1": Interval(mean=score)}, "against_baseline": judged}
            rows.append(row.model_copy(update=scored))
        return [row.objective for row in tables.best_rows(report.model_copy(update={"rows": tuple(rows)}))]

    assert first.against_baseline is None and all(row.against_baseline for row in others)
    assert best((True, False), (0.5, 0.6, 0.4)) == ["asympo"]
    assert best((False, True), (0.5, 0.6, 0.4)) == []
    assert best((True, True), (0.5, 0.4, 0.3)) == ["policy_gradient"]
    assert best((True, False), (0.5, 0.4, 0.3)) == []


def test_missing_and_failed_seeds_are_shown_with_their_reason(parsed: Parsed) -> None:
    text = parsed.text
    assert "1 failed; 1 missing; seed 3: OSError: no space left on device" in text
    assert "148 of 150 cells finished, 1 failed, 1 missing." in text
    nothing = Parsed(to_html(empty_report())).text
    assert "5 missing" in nothing and "0 of 20 cells finished, 20 missing" in nothing
    assert "The base model has not been evaluated." in nothing


def test_a_report_of_nothing_is_a_page() -> None:
    text = Parsed(to_html(bare_report())).text
    assert "No gate has been looked at." in text and "0 objectives under 0 schedules" in text


def test_the_page_states_its_own_weight(page: str, large_page: str) -> None:
    for each in (page, large_page):
        stated = re.search(r"One file of ([\d,]+) KB: charts ([\d,]+) KB", each)
        assert stated and abs(int(stated[1].replace(",", "")) - len(each.encode()) / 1000) <= 1
    assert len(large_page.encode()) < 5e6


# ---- colors


@pytest.mark.parametrize("theme", [0, 1])
def test_text_is_readable_on_every_color(theme: int) -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    for level in range(-LEVELS, LEVELS + 1):
        assert contrast(INK[theme], color(level, theme)) >= 4.5
    styles = (files(page_module.__package__) / "page.css").read_text()
    named = {
        name: (light, dark)[theme]
        for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", styles)
    }
    for text in ("ink", "soft", "link", "good", "bad"):
        assert contrast(named[text], named["paper"]) >= 4.5 and contrast(named[text], named["shade"]) >= 4.5
    for line in ("faint", *(f"series-{i}" for i in range(1, 8))):
        assert contrast(named[line], named["paper"]) >= 3, line


def test_heat_map_levels_diverge_from_the_base_model() -> None:
    report = made_up_report(NAMES[:2], SCHEDULES[:2])
    values = (1.0, 0.52, -0.3, None)
    rows = [
        row.model_copy(update={"retained": None if value is None else Interval(mean=value)})
        for row, value in zip(report.rows, values, strict=True)
    ]
    (grid,) = heat_maps(report.model_copy(update={"rows": tuple(rows)}))
    assert [[(field.text, field.level) for field in fields] for _, fields in grid.rows] == [
        [("1.00", 10), ("0.52", 5)],
        [(f"{MINUS}0.30", -3), ("\u2013", 0)],
    ]
    bare = [row.model_copy(update={"retained": None}) for row in report.rows]
    (grid,) = heat_maps(report.model_copy(update={"rows": tuple(bare)}))
    assert grid.caption == "pass@1" and grid.rows[0][1][0].text == "0.62"


def test_win_matrix_is_its_own_mirror() -> None:
    grid, kept = win_matrices(made_up_report(NAMES[:4]))
    assert (grid.id, kept.id) == (
        "wins-0",
        "wins-1",
    ) and kept.caption == "Difference in own retention, row minus column"
    assert kept.rows[0][1][3].text == f"{MINUS}0.09 \u25bc"
    fields = {(name, other): field for name, row in grid.rows for other, field in zip(grid.columns, row, strict=True)}
    assert fields["policy_gradient", "decoupled_ppo"].text == "+0.08 \u25b2"
    assert fields["decoupled_ppo", "policy_gradient"].text == f"{MINUS}0.08 \u25bc"
    assert fields["policy_gradient", "asympo"].text == "+0.03"
    assert (fields["policy_gradient", "asympo"].small, fields["asympo", "policy_gradient"].small) == (
        "P 0.57",
        "P 0.43",
    )


# ---- charts


def line(style: int = 0, **changes: Any) -> Line:
    made = {"name": "a < b", "style": style, "x": (0.0, 1.0, 2.0), "y": (0.1, None, 0.3), "keys": ("0", "1", "2")}
    return Line(**(made | {"says": ("zero", "one", "two")} | changes))


def test_a_chart_holds_its_points_its_words_and_no_color_of_its_own() -> None:
    panel = Panel("$x^2$ <b>", "k", (line(), line(BASELINE)), 0.0, 1.0)
    svg = str(draw("c1", "A title", "In words", [panel], 1, 440, 200, alike=False))
    parsed = Parsed(svg)
    assert parsed.text.startswith("A title In words") and "$x^2$ <b>" in parsed.text
    assert "a < b, zero" in parsed.text and "a < b, two" in parsed.text and "one" not in parsed.text
    assert not re.search(r"#[0-9a-f]{6}|@\d|font-family|<style|xmlns|metadata", svg)
    assert {"var(--series-1)", "var(--faint)", "var(--ink)", "var(--grid)"} <= set(re.findall(r"var\([\w-]+\)", svg))
    assert all((attributes.get("id") or "c1").startswith("c1") for _, attributes in parsed.elements)


def test_points_are_where_their_values_are() -> None:
    panel = Panel("t", "x", (line(y=(0.0, 0.5, 1.0)),), 0.0, 1.0, ticks=((0.0, "0"), (2.0, "2")))
    svg = str(draw("c", "t", "d", [panel], 1, 440, 200, alike=False))
    heights = [float(y) for y in re.findall(r'<use x="[\d.]+" y="([\d.]+)"', svg)]
    assert [heights[0] - heights[1], heights[1] - heights[2]] == pytest.approx([100, 100], abs=0.2)


def test_the_range_holds_all_points_and_cuts_only_intervals_that_would_flatten_them() -> None:
    near = line(y=(0.1, 0.2, 0.3), low=(0.05, 0.15, 0.25), high=(0.15, 0.25, 0.35))
    assert range_of([near], [], None, None, False) == pytest.approx((0.035, 0.365))
    wide = line(y=(0.1, 0.2, 0.3), low=(-9.0, None, 0.2), high=(9.0, None, 0.4))
    assert range_of([wide], [], None, None, False) == pytest.approx((-0.13, 0.53))
    assert range_of([wide], [0.5], 0.0, 0.55, False)[0] == 0.0
    assert range_of([], [], None, None, False) == pytest.approx((-0.05, 1.05))
    assert range_of([line(y=(0.001, 0.0, 1.0))], [], None, None, True) == pytest.approx((0.001 / 1.3, 1.3))


def test_an_axis_is_logarithmic_only_where_it_shows_more() -> None:
    assert spans_orders([line(y=(0.001, 0.1, 0.2))])
    assert not spans_orders([line(y=(0.1, None, 0.2))])
    assert not spans_orders([line(y=(0.0, 0.1, 0.2))]) and not spans_orders([line(y=(1e-13, 0.1, 0.2))])
    assert not spans_orders([]) and not spans_orders([line(y=(-1.0, 2.0, 100.0))])


def test_history_is_drawn_where_there_is_some(report: Report, parsed: Parsed) -> None:
    assert "Gain under lag and own retention over time" in parsed.text and "2026-03-01" in parsed.text
    once = report.model_copy(update={"history": report.history[:1], "curves": (), "evaluations": ()})
    assert "Gain under lag and own retention over time" not in Parsed(to_html(once)).text


def test_many_objectives_get_a_panel_each_and_too_many_are_left_to_the_tables(large_page: str) -> None:
    parsed = Parsed(large_page)
    assert "The 24 best placed objectives, the baseline among them; 26 more are in the tables." in parsed.text
    assert re.search(r"\d of 20 schedules are drawn; measurements of the others", parsed.text)
    assert len(parsed.of("figure")) < 60
    assert "The first 50 of 1,000 lines." in parsed.text, "without a script"
    small = Parsed(to_html(made_up_report(NAMES, SCHEDULES[:2], points=3)))
    assert all(f"{name}, " in small.text for name in NAMES) and "Dashed gray: policy_gradient" in small.text


# ---- nothing in a report gets to act


def test_hostile_texts_are_texts(hostile_page: str) -> None:
    parsed = Parsed(hostile_page)
    assert not parsed.open
    assert len([1 for attributes, _ in parsed.scripts if attributes.get("type") != "application/json"]) == 1
    assert not parsed.of("img") and "onerror" not in {name for _, each in parsed.elements for name in each}
    shown = " ".join(visible(HOSTILE).split())
    for beginning in (
        "policy_gradient",
        "constant:0",
        "lag-0 parity",
        "What is 0 + 4?",
        "runs/made-up",
        "OSError: no space left on device",
    ):
        assert beginning + shown in parsed.text, beginning
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ufeff\ufffe\uffff\ud800-\udfff]", hostile_page
    )
    hostile_page.encode()


def test_data_of_long_tables_cannot_leave_its_script() -> None:
    assert safe_json(["</script><!--&\u2028"]) == '["\\u003c/script\\u003e\\u003c!--\\u0026\u2028"]'
    report = made_up_report(NAMES[:2], tuple(f"constant:{i}" for i in range(101)), points=2)
    named = tuple(row.model_copy(update={"objective": row.objective + HOSTILE}) for row in report.rows)
    page = to_html(report.model_copy(update={"rows": named, "curves": (), "standings": (), "evaluations": ()}))
    data = [text for attributes, text in Parsed(page).scripts if attributes.get("type") == "application/json"]
    matrix = max(data, key=lambda text: HOSTILE[9:30] in json.dumps(json.loads(text)))
    assert not set(matrix) & set("<>&") and len(json.loads(matrix)) == len(report.rows)
    assert json.loads(matrix)[0][0] == visible(report.rows[0].objective + HOSTILE)


def test_numbers_that_are_none_do_not_break_the_data() -> None:
    assert number(math.inf).value is None and number(math.inf).text == "\u221e"
    assert json.loads(safe_json([number(math.nan).value])) == [None]


def test_only_the_page_s_own_script_may_run_and_nothing_is_requested(page: str, parsed: Parsed) -> None:
    (policy,) = (each["content"] for each in parsed.of("meta") if each.get("http-equiv") == "Content-Security-Policy")
    ((_, script),) = (each for each in parsed.scripts if each[0].get("type") != "application/json")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy and policy.startswith("default-src 'none'; ") and f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r"https?:|@import|url\((?!#)|\bsrc=", page)


# ---- in Chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium through playwright; its absence is a failure in CI only."""
    path = shutil.which("chromium")
    if path is None:
        missing = "no chromium here: the page is not tried in a browser (apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, page: str, large_page: str, hostile_page: str) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {"small": page, "large": large_page, "hostile": hostile_page}
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.fixture
def opened(browser: Any, paths: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    """Opens one of the pages; at the end, nothing may have been complained about or requested."""
    contexts, complaints, requests = [], [], []

    def open_page(name: str, width: int = 1280, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        contexts[-1].set_default_timeout(120_000)  # ms, for machines that have other work
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(paths[name].as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith("data:")} <= {path.as_uri() for path in paths.values()}


def column(tab: Any, table: str, title: str) -> list[str]:
    """First words of a column's cells, as shown."""
    return tab.evaluate(
        """([id, title]) => {
            const table = document.querySelector(`#${id} table`);
            const i = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === title);
            return [...table.tBodies[0].rows].map((row) => row.cells[i].firstChild?.textContent ?? "");
        }""",
        [table, title],
    )


def test_sorting_is_by_value_and_what_has_none_comes_last(opened: Callable[..., Any], report: Report) -> None:
    tab = opened("small")
    head = tab.locator("#matrix thead th", has_text="against baseline")
    known = sorted(row.against_baseline.value.mean for row in report.rows if row.against_baseline)
    written = [("+" if round(v, 3) > 0 else "") + share(v) for v in known]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    found = column(tab, "matrix", "against baseline")
    assert found[: len(known)] == written[::-1] and set(found[len(known) :]) == {"baseline"}
    head.locator("button").focus()
    tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(tab, "matrix", "against baseline")[: len(known)] == written
    tab.locator("#matrix thead th", has_text="schedule").locator("button").click()
    shown = column(tab, "matrix", "schedule")
    assert list(dict.fromkeys(shown)) == ["lag 0", "lag 4", "lag 16", "lag 64", "periodic:10", "in_flight:8"]


def test_filters_narrow_the_rows_and_say_how_many_are_left(opened: Callable[..., Any]) -> None:
    tab = opened("small")
    status = tab.locator("#matrix [role=status]")
    assert status.inner_text() == "30 lines"
    tab.locator("#matrix label", has_text="objective").locator("select").select_option(label="asympo")
    assert status.inner_text() == "6 of 30 lines" and set(column(tab, "matrix", "objective")) == {"asympo"}
    tab.locator("#matrix label", has_text="schedule").locator("select").select_option(label="lag 16")
    assert status.inner_text() == "1 of 30 lines"
    tab.locator("#matrix label", has_text="objective").locator("select").select_option(label="all")
    tab.locator("#matrix input").fill("device missing")
    tab.locator("#matrix label", has_text="schedule").locator("select").select_option(label="all")
    tab.wait_for_function("document.querySelector('#matrix [role=status]').textContent === '1 of 30 lines'")
    assert column(tab, "matrix", "schedule") == ["in_flight:8"]


def test_a_report_of_5000_cells_opens_at_once_and_comes_in_pages(opened: Callable[..., Any]) -> None:
    tab = opened("large")
    # Of the main thread's own time: by the clock, a shared machine would measure its other work.
    measured = tab.context.new_cdp_session(tab)
    measured.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.reload()
    metrics = {metric["name"]: metric["value"] for metric in measured.send("Performance.getMetrics")["metrics"]}
    assert 0 < metrics["TaskDuration"] < 3, "seconds until 5,000 cells are loaded"
    status, rows = tab.locator("#matrix [role=status]"), tab.locator("#matrix tbody tr")
    assert status.inner_text() == "1 to 50 of 1,000 lines" and rows.count() == 50
    assert tab.locator("#matrix button", has_text="Previous").is_disabled()
    tab.locator("#matrix button", has_text="Next").click()
    assert status.inner_text() == "51 to 100 of 1,000 lines"
    assert column(tab, "matrix", "objective")[0] == "objective_02" and rows.count() == 50
    assert column(tab, "matrix", "schedule")[0] == "lag 64"
    tab.locator("#matrix thead th", has_text="pass@1").first.locator("button").click()
    values = [float(text) for text in column(tab, "matrix", "pass@1")]
    assert status.inner_text() == "1 to 50 of 1,000 lines" and values == sorted(values, reverse=True)
    tab.locator("#cells label", has_text="state").locator("select").select_option(label="failed")
    assert tab.locator("#cells [role=status]").inner_text() == "1 of 5,000 lines"
    tab.set_viewport_size({"width": 390, "height": 844})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_charts_change_with_the_schedule_and_show_one_line_alone(opened: Callable[..., Any]) -> None:
    tab = opened("small")
    section = tab.locator("#learning")
    assert section.locator(".choice:visible").count() == 1
    section.locator("select").first.select_option(label="lag 64")
    assert section.locator(".choice:visible").get_attribute("data-name") == "lag 64"
    key = section.locator(".choice:visible .key").first
    key.locator("button", has_text="grpo").click()
    line = "(node) => getComputedStyle(node).opacity"
    drawing = section.locator(".choice:visible svg[role=img]").first
    assert drawing.locator(".line.s3").first.evaluate(line) == "1"
    assert float(drawing.locator(".line.s1").first.evaluate(line)) < 0.5


def test_the_theme_follows_the_system_until_the_reader_chooses(opened: Callable[..., Any]) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(21, 24, 28)"
    assert opened("small", color_scheme="light").evaluate(paper) == light
    tab = opened("small", color_scheme="dark")
    assert tab.evaluate(paper) == dark
    tab.get_by_role("button", name="Theme: auto").click()
    assert tab.evaluate(paper) == light
    tab.reload()
    assert tab.evaluate(paper) == light and tab.locator("#theme").inner_text() == "Theme: light"


def test_a_command_is_copied(opened: Callable[..., Any], report: Report) -> None:
    tab = opened("small", permissions=["clipboard-read", "clipboard-write"])
    tab.locator("#cells .copy").first.click()
    tab.wait_for_function("document.querySelector('#cells .copy').textContent === 'copied'")
    assert tab.evaluate("navigator.clipboard.readText()") == report.cells[0].command


def test_hostile_texts_do_nothing(opened: Callable[..., Any]) -> None:
    tab = opened("hostile")
    assert tab.evaluate("window.pwned") is None
    for button in tab.locator("#matrix thead button").all()[:2]:
        button.click()
    tab.locator("#matrix input").fill("window.pwned")
    assert tab.evaluate("[window.pwned, document.images.length]") == [None, 0]
    assert visible(HOSTILE)[:40] in tab.locator("#matrix tbody th").first.inner_text()


@pytest.mark.parametrize("name", ["small", "hostile"])
def test_a_phone_shows_it_without_scrolling_sideways(opened: Callable[..., Any], name: str) -> None:
    assert opened(name, width=390).evaluate("document.documentElement.scrollWidth") <= 390


def test_without_a_script_everything_is_there_to_read(opened: Callable[..., Any], report: Report) -> None:
    tab = opened("small", java_script_enabled=False)
    assert tab.locator("#matrix tbody tr").count() == len(report.rows)
    assert tab.locator("#learning .choice:visible").count() == len(report.schedules)
    assert not tab.locator("#theme").is_visible() and tab.locator(".controls").count() == 0


def test_tables_are_long_at_two_hundred_lines() -> None:
    assert MOST_LINES == 200
