"""`lagbench lag`: plans shown, schedules explained, traces imported, by value; and docs/lag.md against the code."""

import json
import os
import re
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from small_suites import ROOT

from lagbench import InputError
from lagbench.harness.config import load_suite
from lagbench.harness.lag import LagPlan, Scene, make_plan, resolve
from lagbench.harness.lag.aliases import ALIASES
from lagbench.harness.lag.importers import IMPORTERS
from lagbench.harness.lag.summary import (
    Bin,
    histogram,
    imagined_scene,
    made_up_lengths,
    page,
    statistics,
    timeline,
    token_lags,
)
from lagbench.harness.lag.trace import lines, read_trace
from lagbench.harness.listing import lags
from lagbench.harness.registry import SCHEDULES
from lagbench.harness.store import write_lines

DOCS = (ROOT / "docs" / "lag.md").read_text()
NARROW = 80


def planned(schedule: str, updates: int = 200, groups: int = 32, tokens: int = 16, seed: int = 0) -> LagPlan:
    scene = Scene(updates, groups, tokens, seed, lambda: made_up_lengths(updates, groups, tokens, seed))
    return make_plan(schedule, scene)


def shown(lagbench, *arguments: str) -> dict[str, Any]:
    ran = lagbench("lag", "show", *arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


# Numbers


@pytest.mark.parametrize(
    ("schedule", "size", "expected"),
    [
        ("sync", (3, 2, 5), (0, 0, 0, 0, 1, 0)),
        ("constant:4", (20, 2, 16), (3.5, 4, 4, 4, 0.05, 3.5)),  # (0 + 1 + 2 + 3 + 16 * 4) / 20
        ("periodic:10", (200, 3, 16), (4.5, 4.5, 9, 9, 0.1, 4.5)),
        # update 0: 0 0 0 0 0 0, update 1: 1 1 1 1 0 0, updates 2 and 3: 2 2 1 1 0 0
        ("in_flight:2", (4, 1, 6), (1.25, 1.5, 2, 2, 0.25, 16 / 24)),
        # a third version would begin behind the last token; update 1: 1 1 1 1 1 1 1 1, update 2: 2 2 2 2 1 1 1 1
        ("in_flight:2,4", (3, 2, 8), (1, 1, 2, 2, 1 / 3, (0 + 1 + 1.5) / 3)),
    ],
)
def test_statistics_by_value(schedule: str, size: tuple[int, int, int], expected: tuple[float, ...]) -> None:
    found = statistics(planned(schedule, *size), size[2])
    numbers = (found.mean, found.median, found.p95, found.max, found.share_at_0, found.token_mean)
    assert numbers == pytest.approx(expected)


@pytest.mark.parametrize(
    "schedule", ["sync", "in_flight:4", "in_flight:3,2", "in_flight:30,1", "heavy_tail", "burst:3,5"]
)
@pytest.mark.parametrize("tokens", [1, 7, 16])
def test_token_lags_are_those_of_the_tokens(schedule: str, tokens: int) -> None:
    plan = planned(schedule, 25, 3, tokens)
    lag = np.stack([update - plan.token_versions(update, tokens) for update in range(25)])  # [U, P, T]
    drawn = token_lags(plan, tokens)
    assert drawn.tokens.sum() == lag.size and (drawn.tokens > 0).all()
    assert statistics(plan, tokens).token_mean == pytest.approx(lag.mean())
    line = timeline(drawn)
    assert line.low.tolist() == lag.min((1, 2)).tolist() and line.high.tolist() == lag.max((1, 2)).tolist()
    assert line.mean == pytest.approx(lag.mean((1, 2)))
    for bin in histogram(drawn):
        assert bin.share == pytest.approx(((lag >= bin.first) & (lag <= bin.last)).mean())


def test_histogram_by_value() -> None:
    assert histogram(token_lags(planned("sync", 4, 2), 16)) == [Bin(0, 0, 1.0)]
    assert histogram(token_lags(planned("constant:1", 4, 2), 16)) == [Bin(0, 0, 0.25), Bin(1, 1, 0.75)]
    pairs = histogram(token_lags(planned("periodic:13", 26, 1), 16))
    assert [bin.label for bin in pairs] == ["0-1", "2-3", "4-5", "6-7", "8-9", "10-11", "12"]
    doubling = histogram(token_lags(LagPlan("mine", sources([0] * 15 + [14])), 16))
    assert [bin.label for bin in doubling] == ["0", "1", "2-3", "4-7", "8-14"]
    assert doubling[0].share == 15 / 16 and doubling[-1].share == 1 / 16


def sources(lag: list[int]) -> np.ndarray:
    """Of a plan of one group per update: [U, 1]."""
    return (np.arange(len(lag)) - lag)[:, None].astype(np.int32)


@pytest.mark.parametrize("schedule", [*(name for name in SCHEDULES.all() if name != "trace"), *ALIASES])
@pytest.mark.parametrize("updates", [1, 3, 64, 65, 1000])
def test_pages_fit_a_dumb_terminal(schedule: str, updates: int) -> None:
    options = {"burst": ":16,32", "uniform": ":0-999", "pipeline_rl": ":8,4"}
    needed = [value for value in {**SCHEDULES.all(), **ALIASES}[schedule].options.values() if value == "required"]
    text = page(planned(schedule + options.get(schedule, ":4" * len(needed)), updates, 4), 16)
    assert text.isascii() and max(map(len, text.splitlines())) <= NARROW
    assert len(text.splitlines()) < 40


def test_plot_by_value() -> None:
    assert page(planned("periodic:4+1", 8, 2), 16).splitlines()[-7:] == [
        "lag of tokens by update; a column is 1 update, # to their mean, : to their max",
        "  4 |                                                        ########",
        "  3 |                        ########                ################",
        "  2 |                ################        ########################",
        "  1 |        ########################################################",
        "  0 +----------------------------------------------------------------",
        "     0                                                              7",
    ]


# The command line


@pytest.mark.parametrize("schedule", ["constant:4", "periodic:10", "in_flight:4", "heavy_tail", "capacity:2", "trl"])
def test_show_json_is_the_plan(lagbench_here, schedule: str) -> None:
    data, plan = shown(lagbench_here, schedule), planned(schedule)
    assert LagPlan.from_json(data).digest == plan.digest == data["digest"]
    assert data["source"] == plan.source.tolist() and data["switches"] == plan.switches.tolist()
    assert data["name"] == plan.name and data["given"] == schedule and data["groups"] == 32
    numbers = statistics(plan, 16)
    for key in ("mean", "median", "p95", "max", "share_at_0", "token_mean"):
        assert data[key] == getattr(numbers, key)
    assert data["note"] == "" and bool(data["remark"]) == (schedule == "trl")


def test_show_json_by_value(lagbench_here) -> None:
    data = shown(lagbench_here, "constant:4", "--updates", "20", "--groups", "2")
    assert data["source"] == [[max(u - 4, 0)] * 2 for u in range(20)]
    assert (data["mean"], data["median"], data["p95"], data["max"], data["token_mean"]) == (3.5, 4, 4, 4, 3.5)
    data = shown(lagbench_here, "in_flight:2", "--updates", "4", "--groups", "1", "--tokens", "6")
    assert data["source"] == [[0], [0], [0], [1]]
    assert data["switches"] == [[1, 0, 4, 1], [2, 0, 2, 1], [2, 0, 4, 2], [3, 0, 2, 2], [3, 0, 4, 3]]
    assert data["token_mean"] == pytest.approx(16 / 24) and data["mean"] == 1.25


def test_show_size_and_seed_are_the_runs(lagbench_here) -> None:
    data = shown(lagbench_here, "uniform:0-16", "--updates", "30", "--groups", "5", "--seed", "3")
    assert data["digest"] == planned("uniform:0-16", 30, 5, seed=3).digest != planned("uniform:0-16", 30, 5).digest
    assert (data["seed"], data["tokens"], len(data["source"])) == (3, 16, 30)


def test_show_prints_numbers_and_pictures(lagbench) -> None:
    ran = lagbench("lag", "show", "areal:4,2", env=narrow())
    assert ran.returncode == 0 and "areal:4,2 stands for capacity:4,1,1,2: Soft bound" in ran.stdout
    numbers = statistics(planned("areal:4,2"), 16)
    assert f"groups: mean lag {numbers.mean:.4g}, median {numbers.median:.4g}," in ran.stdout
    assert f"max {numbers.max}\n" in ran.stdout and "0.5 % at lag 0" in ran.stdout
    assert "tokens: mean lag" in ran.stdout and "every response taken as 16 tokens long" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= NARROW
    assert "Every group is k updates old" in lagbench("lag", "show", "constant:4").stdout


def narrow() -> dict[str, str]:
    return os.environ | {"COLUMNS": str(NARROW)}


def test_made_up_lengths_are_told(lagbench_here) -> None:
    data = shown(lagbench_here, "heavy_tail_by_length")
    assert "made up here" in data["note"] and data["digest"] == planned("heavy_tail_by_length").digest
    assert "made up here" in lagbench_here("lag", "show", "heavy_tail_by_length").stdout
    plain = planned("heavy_tail")
    assert np.sort(data["source"], axis=1).tolist() == np.sort(plain.source, axis=1).tolist()
    lengths = made_up_lengths(200, 32, 16, 0)
    assert lengths.min() >= 1 and lengths.max() <= 16
    lag = np.arange(200)[:, None] - np.array(data["source"])
    assert (np.take_along_axis(lag, lengths.argsort(1), 1) == np.sort(lag, axis=1)).all()


def test_picture(lagbench_here, tmp_path: Path) -> None:
    ran = lagbench_here("lag", "show", "periodic:4", "--png", "pictures/p.png")
    assert ran.returncode == 0 and "wrote pictures/p.png" in ran.stdout
    picture = tmp_path / "pictures" / "p.png"
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[0] > 400 and pixels.shape[1] > 1000 and pixels[..., :3].std() > 0.05
    told = lagbench_here("lag", "show", "in_flight:4", "--json", "--png", "q.png")
    assert json.loads(told.stdout)["name"] == "in_flight:4" and "wrote q.png" in told.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["q.png"]


def test_a_trace_brings_its_size(lagbench_here, tmp_path: Path) -> None:
    plan = planned("in_flight:3", 12, 3, tokens=100)
    write_lines(tmp_path / "mine.jsonl", lines(plan))
    data = shown(lagbench_here, "trace:mine.jsonl")
    assert data["digest"] == plan.digest and data["tokens"] == 76  # the last switch is at token 75
    assert len(shown(lagbench_here, "trace:mine.jsonl", "--updates", "5")["source"]) == 5
    scene = imagined_scene(resolve(f"trace:{tmp_path / 'mine.jsonl'}"), None, None, None, 0)
    assert (scene.updates, scene.groups, scene.tokens) == (12, 3, 76)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("show", "constnat:4"), "unknown lag schedule 'constnat:4' (did you mean 'constant'?)"),
        (("show", "areel:4"), "did you mean 'areal'?"),
        (("show", "constant:-1"), "lag schedule 'constant:-1'"),
        (("show", "constant:4,5"), "'5' is one value too many; expected constant:k"),
        (("show", "constant:j=4"), "constant has no option 'j'"),
        (("show", "uniform:9-3"), "low=9 is above high=3"),
        (("show", "sync", "--updates", "0"), "--updates 0 is not valid: expected a whole number from 1 on"),
        (("show", "sync", "--groups", "0"), "--groups 0 is not valid"),
        (("show", "sync", "--tokens", "0"), "--tokens 0 is not valid"),
        (("show", "sync", "--seed", "-1"), "--seed -1 is not valid: expected a whole number from 0 on"),
        (("show", "trace:missing.jsonl"), "trace missing.jsonl: No such file or directory"),
        (("show", "sync", "--png", "file/p.png"), "cannot write to file/p.png"),
        (("import", "areel", "f", "--out", "o", "--groups", "2", "--responses", "2"), "did you mean 'areal'?"),
        (("import", "areal", "f", "--out", "o", "--groups", "0", "--responses", "2"), "--groups 0 is not valid"),
        (("import", "areal", "f", "--out", "o", "--groups", "2", "--responses", "2"), "No such file"),
    ],
)
def test_wrong_input(lagbench_here, tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    (tmp_path / "file").write_text("")
    ran = lagbench_here("lag", *arguments)
    assert ran.returncode == 2, ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr
    assert ran.stderr.startswith("error: ") and expected in ran.stderr


@pytest.mark.parametrize("ratio", ["0", "-1", "1/0", "often", ""])
def test_wrong_ratio(lagbench_here, ratio: str) -> None:
    command = ("lag", "import", "areal", "f", "--out", "o", "--groups", "2", "--responses", "2")
    ran = lagbench_here(*command, f"--updates-per-version={ratio}")
    assert ran.returncode == 2 and f"--updates-per-version {ratio!r} is not valid" in ran.stderr


def test_import_writes_a_trace_that_runs(lagbench_here, tmp_path: Path) -> None:
    """Three updates of two groups, one response each; AReaL's version is one training step of two updates."""
    versions = [[[0, 8]], [[0, 4]], [[0, 6]], [[0, 2]], [[0, 4], [1, 4]], [[1, 8]]]
    records = [{"version_rle": rle, "task_id": i} for i, rle in enumerate(versions)]
    write_lines(tmp_path / "dump.jsonl", records)
    command = ("lag", "import", "areal", "dump.jsonl", "--out", "out/mine.jsonl", "--groups", "2", "--responses", "1")
    ran = lagbench_here(*command, "--updates-per-version", "2")
    assert ran.returncode == 0, ran.stderr
    plan = read_trace(tmp_path / "out" / "mine.jsonl")
    assert plan.source.tolist() == [[0, 0], [0, 0], [0, 2]]
    assert plan.switches.tolist() == [[2, 0, 4, 2]]
    assert "3 updates x 2 groups, lag of groups mean 0.6667, max 2, 1 group in flight" in ran.stdout
    assert "lags=trace:out/mine.jsonl updates=3 prompts_per_update=2" in ran.stdout
    data = shown(lagbench_here, "trace:out/mine.jsonl")
    assert data["digest"] == plan.digest and data["mean"] == pytest.approx(4 / 6)


def test_import_prints_remarks_and_takes_fractions(lagbench_here, tmp_path: Path) -> None:
    """PipelineRL counts samples: four per update."""
    write_lines(tmp_path / "stream.jsonl", [{"metadata": {"model_version": v}} for v in (0, 0, 0, 0, 4, 0, 0, 4, 6)])
    command = ("lag", "import", "pipeline_rl", "stream.jsonl", "--out", "mine.jsonl", "--groups", "2")
    ran = lagbench_here(*command, "--responses", "2", "--updates-per-version", "1/4", "--tokens", "16")
    assert ran.returncode == 0, ran.stderr
    assert read_trace(tmp_path / "mine.jsonl").source.tolist() == [[0, 0], [0, 0]]
    assert "the last 1 of 9 responses are left out" in ran.stdout
    assert "2 of 4 groups had responses of different versions" in ran.stdout


# What is listed and written


def test_list_explains_every_schedule_and_alias(lagbench_here) -> None:
    ran = lagbench_here("lag", "list", "--json")
    rows = json.loads(ran.stdout)
    assert ran.stdout == lagbench_here("list", "lags", "--json").stdout
    assert [row["name"] for row in rows] == [*SCHEDULES.all(), *ALIASES]
    for row in rows:
        assert row["description"] and re.fullmatch(rf"{row['name']}(\[?:.+)?", row["form"])
        assert (row["name"] in ALIASES) == bool(row["stands_for"]) == bool(row["bound"])
    by_name = {row["name"]: row for row in rows}
    assert by_name["in_flight"]["form"] == "in_flight:span[,stride]"
    assert by_name["in_flight"]["options"] == {"span": "required", "stride": 0}
    assert "arXiv 2509.19128" in by_name["in_flight"]["source"]
    assert all(by_name[name]["source"] for name in SCHEDULES.all())
    assert (by_name["areal"]["bound"], by_name["trl"]["bound"]) == ("soft", "hard")
    assert (by_name["trl"]["example"], by_name["trl"]["stands_for"]) == ("trl:4,2", "periodic:2+8")
    assert (by_name["verl"]["example"], by_name["verl"]["stands_for"]) == ("verl:0.5,4", "periodic:4+2")


def test_lists_are_as_wide_as_the_terminal(lagbench) -> None:
    printed = lagbench("lag", "list", env=narrow()).stdout
    assert max(map(len, printed.splitlines())) <= NARROW
    assert "stands_for: periodic:2+8" in printed and "form: heavy_tail[:law[,median][,tail]]" in printed


def test_help_names_every_importer(lagbench) -> None:
    told = lagbench("lag", "import", "--help", env=narrow()).stdout
    assert all(name in told for name in IMPORTERS)


@pytest.mark.parametrize("name", [*SCHEDULES.all(), *ALIASES, *IMPORTERS])
def test_the_page_names_everything(name: str) -> None:
    assert re.search(rf"`{name}[`:]", DOCS), f"docs/lag.md does not name {name}"


CONVERSIONS = re.findall(r"^\|[^|]+\| ([^|]+) \| `([^`|]+)` \| `([^`|]+)` \| (soft|hard) \|$", DOCS, re.MULTILINE)


def test_the_page_converts_every_alias_once() -> None:
    assert sorted(example.partition(":")[0] for _, example, _, _ in CONVERSIONS) == sorted(ALIASES)


@pytest.mark.parametrize(("most", "example", "canonical", "bound"), CONVERSIONS)
def test_the_page_converts_as_the_code_does(most: str, example: str, canonical: str, bound: str) -> None:
    found = resolve(example)
    assert found.text == canonical
    assert {row["name"]: row["bound"] for row in lags()}[found.alias.name] == bound
    updates = int(most.rpartition("=")[2])
    if found.entry.name == "capacity":
        assert updates == (found.options["eta"] + 1) * found.options["minibatches"] - 1
    else:
        assert planned(example, 100, 2).lag.max() == updates


@pytest.mark.parametrize("example", sorted(set(re.findall(r"^\| `([a-z_:,0-9+-]+)`", DOCS, re.MULTILINE)) - {"trace"}))
def test_the_page_shows_schedules_that_are_planned(example: str) -> None:
    assert planned(example, 50, 4).source.shape == (50, 4)


def test_the_page_draws_plans_as_they_are() -> None:
    rows = {name: [int(n) for n in re.search(rf"^{name}((?: +\d)+)", DOCS, re.MULTILINE)[1].split()]
            for name in ("source", "lag")}  # fmt: skip
    plan = planned("constant:2", 8, 1)
    assert rows == {"source": plan.source[:, 0].tolist(), "lag": plan.lag[:, 0].tolist()}
    assert " ".join(map(str, planned("in_flight:2", 8, 1, 12).token_versions(7, 12)[0])) in DOCS


def test_the_page_writes_several_lags_as_they_are_read() -> None:
    refused, parted, listed = "lags=areal:4,2", "lags='areal:4,2;8'", 'lags=["areal:4,2", 8]'
    assert all(f"`{text}`" in DOCS for text in (refused, parted, listed))
    with pytest.raises(InputError, match="put semicolons between lags"):
        load_suite("quick", [refused])
    for text in (parted.replace("'", ""), listed):
        assert load_suite("quick", [text]).lags == ("areal:4,2", "8")
    (lags,) = re.findall(r"lagbench run quick (lags=\S+)", DOCS)
    assert load_suite("quick", [lags]).lags == ("0", "uniform:0-16", "areal:4")


def test_the_trace_of_the_page_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```\n(\{\"format\".*?)```", DOCS, re.DOTALL)
    (tmp_path / "mine.jsonl").write_text(block)
    plan = read_trace(tmp_path / "mine.jsonl")
    assert plan.source.tolist() == [[0, 0], [0, 0]] and plan.switches.tolist() == [[1, 1, 12, 1]]


def test_the_schedule_of_the_page_is_one(lagbench, tmp_path: Path) -> None:
    """It is registered when its module is imported."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    (tmp_path / "my_module.py").write_text(code)
    site = tmp_path / "mine-1.dist-info"
    site.mkdir()
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    (site / "entry_points.txt").write_text("[lagbench.schedules]\nmine = my_module\n")
    environment = narrow() | {"PYTHONPATH": str(tmp_path)}
    data = json.loads(lagbench("lag", "show", "alternating:4", "--updates", "8", "--json", env=environment).stdout)
    assert [row[0] for row in data["source"]] == [0, 0, 2, 0, 4, 1, 6, 3] and data["max"] == 4
    listed = {row["name"]: row for row in json.loads(lagbench("lag", "list", "--json", env=environment).stdout)}
    assert listed["alternating"]["distribution"] == "mine"


def test_the_page_draws_the_asynchrony_of_asympo() -> None:
    """Updates, sources and lags of the drawing are those of `verl:0.5,16`, and it is what the suite runs."""
    suite = load_suite("asympo")
    assert suite.lags == load_suite("asympo_math").lags == ("sync", "periodic:16", "verl:0.5,16")
    source = make_plan("verl:0.5,16", Scene(64, 1, 16, 0, lambda: np.zeros((64, 1)))).source[:, 0]
    drawing = DOCS.partition("### The asynchrony of arXiv 2606.03070")[2].split("```")[1]
    lines = [line.partition("mean")[0].split() for line in drawing.strip().splitlines()]
    updates, sources, ages = ([int(number) for number in line if number.isdigit()] for line in lines)
    assert sources == [source[u] for u in updates] and ages == [u - source[u] for u in updates]
    steady = np.arange(16, 64) - source[16:]
    assert steady.mean() == 15.5 and (np.arange(16) - source[:16]).tolist() == list(range(16))
