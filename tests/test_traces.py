"""Trace files: what is written is read back as the same plan; what is wrong is told by line and field."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lagbench import InputError
from lagbench.harness.lag import LagPlan, Scene, make_plan
from lagbench.harness.lag.plan import END
from lagbench.harness.lag.trace import FORMAT, lines, read_trace
from lagbench.harness.registry import SCHEDULES

EXAMPLES = {
    "sync": ["sync"],
    "constant": ["constant:0", "constant:8"],
    "uniform": ["uniform:0-9"],
    "periodic": ["periodic:4+2"],
    "staged": ["staged:3"],
    "heavy_tail": ["heavy_tail", "heavy_tail:power,tail=2"],
    "heavy_tail_by_length": ["heavy_tail_by_length:power"],
    "burst": ["burst:5,3"],
    "capacity": ["capacity:4", "capacity:2,spread=2,minibatches=3"],
    "window": ["window:5", "window:5,oldest"],
    "in_flight": ["in_flight:4", "in_flight:9,2", "in_flight:0"],
    "trace": ["trace:FILE"],
}
SCHEDULE_TEXTS = [
    text
    for name, entry in SCHEDULES.all().items()
    if entry.distribution == "lagbench" and name != "trace"
    for text in EXAMPLES[name]
]


def scene(updates: int, groups: int, tokens: int = 17, seed: int = 0) -> Scene:
    lengths = (np.arange(updates * groups) * 7 % 5 + 1.0).reshape(updates, groups)
    return Scene(updates, groups, tokens, seed, lambda: lengths)


def write(file: Path, plan: LagPlan) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines(plan)))
    return file


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces") / "a trace, of 1=2:3.jsonl"


@st.composite
def plans(draw: st.DrawFn) -> LagPlan:
    """Any plan, with any switches."""
    updates, groups = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    source, switches = np.zeros((updates, groups), np.int32), []
    for update, group in np.ndindex(updates, groups):
        versions = sorted(draw(st.sets(st.integers(0, update), min_size=1, max_size=4)))
        tokens = sorted(draw(st.sets(st.integers(1, 99), min_size=len(versions) - 1, max_size=len(versions) - 1)))
        source[update, group] = versions[0]
        switches += [(update, group, token, version) for token, version in zip(tokens, versions[1:], strict=True)]
    return LagPlan(draw(st.text(max_size=5)), source, np.array(switches, np.int32).reshape(-1, 4))


# What is written


def test_lines_by_value() -> None:
    plan = make_plan("in_flight:2", scene(4, 1, tokens=6))
    assert list(lines(plan)) == [
        {"format": "lagbench-trace-1", "name": "in_flight:2", "groups": 1},
        {"update": 0, "groups": [0]},
        {"update": 1, "groups": [[[0, 4], [1, None]]]},
        {"update": 2, "groups": [[[0, 2], [1, 2], [2, None]]]},
        {"update": 3, "groups": [[[1, 2], [2, 2], [3, None]]]},
    ]
    assert [line["groups"] for line in lines(make_plan("constant:1", scene(3, 2)))][1:] == [[0, 0], [0, 0], [1, 1]]


# What is read


def test_a_small_file_by_value(file: Path) -> None:
    file.write_text(
        '{"format": "lagbench-trace-1", "name": "by hand", "groups": 3}\n'
        '{"update": 0, "groups": [0, [[0, null]], [[0, 7]]]}\n'
        '{"update": 1, "groups": [0, 1, [[0, 12], [1, 7]]]}\n'
        '{"groups": [[[0, 1], [1, 2], [2, null]], [[1, 5], [2, 1]], 2], "update": 2}\n'
    )
    plan = read_trace(file)
    assert plan.name == "by hand"
    assert plan.source.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 2]]
    assert plan.switches.tolist() == [[1, 2, 12, 1], [2, 0, 1, 1], [2, 0, 3, 2], [2, 1, 5, 2]]
    assert plan.token_versions(2, 6).tolist() == [[0, 1, 1, 2, 2, 2], [1, 1, 1, 1, 1, 2], [2, 2, 2, 2, 2, 2]]
    assert plan.token_versions(1, 14)[2].tolist() == [0] * 12 + [1, 1]

    named = make_plan(f"trace:{file}", scene(3, 3))
    assert named.name == f"trace:{file}" and named.digest == plan.digest
    assert named.lag.tolist() == [[0, 0, 0], [1, 0, 1], [2, 1, 0]]
    assert named.switches.tolist() == plan.switches.tolist()


def test_every_schedule_has_an_example_here() -> None:
    assert set(EXAMPLES) == {name for name, entry in SCHEDULES.all().items() if entry.distribution == "lagbench"}


@pytest.mark.parametrize("text", SCHEDULE_TEXTS)
@settings(deadline=None, max_examples=12)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 20), st.integers(0, 2**40), st.data())
def test_every_schedule_comes_back(
    text: str, file: Path, updates: int, groups: int, tokens: int, seed: int, data: st.DataObject
) -> None:
    where = scene(updates, groups, tokens, seed)
    plan = make_plan(text, where)
    again = read_trace(write(file, plan))
    assert again.digest == plan.digest and again.name == plan.name
    assert (again.source == plan.source).all() and (again.switches == plan.switches).all()
    replayed = make_plan(f"trace:{file}", where)
    assert replayed.digest == plan.digest
    assert [*lines(replayed)][1:] == [*lines(plan)][1:]

    fewer = data.draw(st.integers(0, updates))
    prefix = make_plan(f"trace:{file}", scene(fewer, groups))
    assert (prefix.source == plan.source[:fewer]).all()
    assert (prefix.switches == plan.switches[plan.switches[:, 0] < fewer]).all()
    assert prefix.digest == read_trace(file, fewer, groups).digest


@settings(deadline=None, max_examples=40)
@given(plan=plans())
def test_any_plan_comes_back(file: Path, plan: LagPlan) -> None:
    again = read_trace(write(file, plan))
    assert again.digest == plan.digest and again.name == plan.name
    assert make_plan(f"trace:{file}", scene(*plan.source.shape)).digest == plan.digest
    for update, group in np.ndindex(plan.source.shape):
        assert (again.token_versions(update, 120)[group] == plan.token_versions(update, 120)[group]).all()


def test_a_trace_of_a_trace_is_the_same(file: Path) -> None:
    plan = make_plan("in_flight:4", scene(9, 2))
    replayed = make_plan(f"trace:{write(file, plan)}", scene(9, 2))
    assert make_plan(f"trace:{write(file, replayed)}", scene(9, 2)).digest == plan.digest


def test_line_ends_and_layout_do_not_matter(file: Path) -> None:
    text = '{ "groups":1, "name":"é", "format":"lagbench-trace-1" }\r\n{"groups":[0],"update":0}\r\n'
    for content in (text, text.replace("\r\n", "\n"), text.rstrip()):
        file.write_bytes(content.encode())
        plan = read_trace(file)
        assert plan.name == "é" and plan.source.tolist() == [[0]]


# What is wrong


def header(**changes: Any) -> str:
    return json.dumps({"format": FORMAT, "name": "wrong", "groups": 2} | changes)


def update(number: Any, *groups: Any) -> str:
    return json.dumps({"update": number, "groups": list(groups)})


FIRST = update(0, 0, 0)
FEWER = f"expected fewer than {END} in a response"


def told(file: Path, *given: str) -> str:
    """The one line that says what is wrong with a file of these lines, read either way; it names the file."""
    file.write_text("".join(line + "\n" for line in given))
    with pytest.raises(InputError) as error:
        read_trace(file)
    message = str(error.value)
    assert message.startswith(f"trace {file}") and "\n" not in message
    with pytest.raises(InputError) as error:
        make_plan(f"trace:{file}", scene(max(len(given) - 1, 1), 2))
    assert str(error.value) == f"lag schedule 'trace:{file}': {message}"
    return message


@pytest.mark.parametrize(
    ("given", "number", "words"),
    [
        (["{"], 1, "not JSON: '{'"),
        (["[]"], 1, "expected an object, got '[]'"),
        ([""], 1, "not JSON"),
        ([FIRST], 1, "format is null, expected 'lagbench-trace-1'"),
        ([header(format="lagbench-trace-2")], 1, "format is \"lagbench-trace-2\", expected 'lagbench-trace-1'"),
        ([header(name=3)], 1, "name is 3, expected text"),
        ([header(name=None)], 1, "name is null, expected text"),
        ([json.dumps({"format": FORMAT, "groups": 2}), FIRST], 1, "name is 0, expected text"),
        ([header(groups=0)], 1, "groups is 0, expected a whole number from 1 to 2147483646"),
        ([header(groups="2")], 1, 'groups is "2", expected a whole number from 1 to 2147483646'),
        ([header(groups=2.0)], 1, "groups is 2.0"),
        ([header(groups=True)], 1, "groups is true"),
        ([header(groups=[0, 0])], 1, "groups is [0, 0]"),
        ([header(), "update 0"], 2, "not JSON: 'update 0'"),
        ([header(), "3"], 2, "expected an object, got '3'"),
        ([header(), FIRST, ""], 3, "not JSON"),
        ([header(), FIRST, FIRST], 3, "update is 0, expected 1"),
        ([header(), update(1, 0, 0)], 2, "update is 1, expected 0"),
        ([header(), update("0", 0, 0)], 2, 'update is "0", expected 0'),
        ([header(), update(None, 0, 0)], 2, "update is null, expected 0"),
        ([header(), update(0.0, 0, 0)], 2, "update is 0.0, expected 0"),
        ([header(), update(False, 0, 0)], 2, "update is false, expected 0"),
        ([header(), FIRST, update(True, 0, 0)], 3, "update is true, expected 1"),
        ([header(), update(10**30, 0, 0)], 2, f"update is {10**30}, expected 0"),
        ([header(), '{"groups": [0, 0]}'], 2, "update is null, expected 0"),
        ([header(), header()], 2, "update is null, expected 0"),
        ([header(), '{"update": 0}'], 2, "groups is"),
        ([header(), '{"update": 0, "groups": 0}'], 2, "groups is 0, expected 2 groups"),
        ([header(), update(0, 0)], 2, "groups is [0], expected 2 groups"),
        ([header(), update(0, 0, 0, 0)], 2, "groups is [0, 0, 0], expected 2 groups"),
        ([header(), update(0, 0, -1)], 2, "groups[1]: version is -1, expected 0 to 0"),
        ([header(), FIRST, update(1, 2, 0)], 3, "groups[0]: version is 2, expected 0 to 1"),
        ([header(), FIRST, update(1, 0.0, 0)], 3, "groups[0]: group is 0.0, expected a version, or runs"),
        ([header(), update(0, 0, 10**30)], 2, f"groups[1]: version is {10**30}, expected 0 to 0"),
        ([header(), update(0, 0, True)], 2, "groups[1]: group is true"),
        ([header(), update(0, None, 0)], 2, "groups[0]: group is null"),
        ([header(), update(0, "0", 0)], 2, 'groups[0]: group is "0"'),
        ([header(), update(0, float("nan"), 0)], 2, "groups[0]: group is NaN"),
        ([header(), update(0, [], 0)], 2, "groups[0]: group is []"),
        ([header(), update(0, [0, 12], 0)], 2, "groups[0]: group is [0, 12]"),
        ([header(), update(0, [[0]], 0)], 2, "groups[0]: group is [[0]]"),
        ([header(), update(0, [[0, 1, 2]], 0)], 2, "groups[0]: group is [[0, 1, 2]]"),
        ([header(), update(0, {"version": 0}, 0)], 2, 'groups[0]: group is {"version": 0}'),
        ([header(), FIRST, update(1, 0, [[0, 1], [2, None]])], 3, "groups[1]: version is 2, expected 1 to 1"),
        ([header(), FIRST, update(1, 0, [[1, 1], [0, None]])], 3, "groups[1]: version is 0, expected 2 to 1"),
        ([header(), FIRST, update(1, 0, [[0, 1], [0, None]])], 3, "groups[1]: version is 0, expected 1 to 1"),
        ([header(), FIRST, update(1, [[-1, 1], [1, None]], 0)], 3, "groups[0]: version is -1, expected 0 to 1"),
        ([header(), FIRST, update(1, [["0", 1], [1, None]], 0)], 3, 'groups[0]: version is "0"'),
        ([header(), FIRST, update(1, [[False, 1], [1, None]], 0)], 3, "groups[0]: version is false"),
        ([header(), FIRST, update(1, [[0, 0], [1, None]], 0)], 3, "groups[0]: tokens is 0, expected a whole number"),
        ([header(), FIRST, update(1, [[0, -3], [1, None]], 0)], 3, "groups[0]: tokens is -3"),
        ([header(), FIRST, update(1, [[0, None], [1, 5]], 0)], 3, "groups[0]: tokens is null"),
        ([header(), FIRST, update(1, [[0, 1.5], [1, 5]], 0)], 3, "groups[0]: tokens is 1.5"),
        ([header(), FIRST, update(1, [[0, 3], [1, 0]], 0)], 3, "groups[0]: tokens is 0"),
        ([header(), FIRST, update(1, [[0, 2**31], [1, None]], 0)], 3, f"groups[0]: tokens is {2**31}, {FEWER}"),
        ([header(), FIRST, update(1, 0, [[0, END], [1, None]])], 3, f"groups[1]: tokens is {END}, {FEWER}"),
        ([header(), FIRST, update(1, [[0, 2**30], [1, 2**30]], 0)], 3, f"groups[0]: tokens is {2**31}, {FEWER}"),
        ([header(), update(0, [[0, 10**30]], 0)], 2, f"groups[0]: tokens is {10**30}, {FEWER}"),
        ([header(), "[" * 100_000], 2, "not JSON: '[[["),
        ([header(), '{"update": 0, "groups": ' + "[" * 100_000 + "]" * 100_000 + "}"], 2, 'not JSON: \'{"update": 0'),
        ([header(), '{"update": ' + "9" * 5000 + ', "groups": [0, 0]}'], 2, 'not JSON: \'{"update": 999'),
    ],
)
def test_a_wrong_line_is_told_by_number_and_field(file: Path, given: list[str], number: int, words: str) -> None:
    message = told(file, *given)
    assert message.startswith(f"trace {file}, line {number}") and words in message


def test_deep_nesting_is_told_wherever_the_parser_gives_up(file: Path) -> None:
    """Below some depth such a line is JSON, and it is the nested value that is wrong."""
    reasons = set()
    for depth in (100, *range(900, 1001), 5000):
        file.write_text(f"{header()}\n" + '{"update": 0, "groups": [' + "[" * depth + "]" * depth + ", 0]}\n")
        with pytest.raises(InputError) as error:
            read_trace(file)
        reasons.add(str(error.value).removeprefix(f"trace {file}, line 2"))
    group = ", groups[0]: group is " + "[" * 57 + "..., expected a version, or runs [[version, tokens], ...]"
    assert reasons == {group, ': not JSON: \'{"update": 0, "groups": [' + "[" * 35 + "'"}


def test_the_longest_length(file: Path) -> None:
    file.write_text("\n".join([header(), FIRST, update(1, [[0, END - 2], [1, 1]], [[0, END - 1], [1, None]])]))
    assert read_trace(file).switches.tolist() == [[1, 0, END - 2, 1], [1, 1, END - 1, 1]]


def test_long_values_are_shortened(file: Path) -> None:
    message = told(file, header(), update(0, *range(500)))
    assert len(message) < len(str(file)) + 150 and "..., expected 2 groups" in message


def test_the_first_wrong_line_is_told(file: Path) -> None:
    assert ", line 3, groups[0]: version is 9" in told(file, header(), FIRST, update(1, 9, 8), update(2, 7, 7))


def test_an_empty_file(file: Path) -> None:
    assert "empty; expected a first line with format, name and groups" in told(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), (b"\xff\xfe", "not UTF-8 text"), ("folder", "directory")],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | str | None, reason: str) -> None:
    path = tmp_path / "trace.jsonl"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    for read in (lambda: read_trace(path), lambda: make_plan(f"trace:{path}", scene(3, 2))):
        with pytest.raises(InputError, match=f"trace {path}: .*{reason}; expected a file as docs/lag.md"):
            read()


def test_another_number_of_groups(file: Path) -> None:
    write(file, make_plan("constant:2", scene(5, 2)))
    for groups in (1, 3):
        with pytest.raises(InputError, match=f"has 2 groups per update, the run {groups}: set prompts_per_update=2"):
            make_plan(f"trace:{file}", scene(5, groups))
        with pytest.raises(InputError, match="set prompts_per_update=2"):
            read_trace(file, groups=groups)


def test_too_many_updates(file: Path) -> None:
    write(file, make_plan("constant:2", scene(5, 2)))
    assert len(read_trace(file, 5).source) == len(read_trace(file).source) == 5
    for read in (lambda: make_plan(f"trace:{file}", scene(6, 2)), lambda: read_trace(file, 6)):
        with pytest.raises(InputError, match="has 5 updates, the run 6: set updates=5 or less"):
            read()
