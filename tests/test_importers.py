"""Records of other systems by value: every plan here was worked out by hand from the lines in tests/traces/."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lagbench import InputError
from lagbench.harness.lag import LagPlan
from lagbench.harness.lag.importers import IMPORTERS, Imported, import_trace
from lagbench.harness.lag.plan import END

TRACES = Path(__file__).parent / "traces"


def imported(system: str, **options) -> Imported:
    return import_trace(system, TRACES / f"{system}.jsonl", **({"groups": 2, "responses": 2} | options))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """A file of these lines; what is not text is written as JSON."""

    def write(*lines: object) -> Path:
        file = tmp_path / "run.jsonl"
        file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
        return file

    return write


def rle(*runs: list[int]) -> dict:
    return {"version_rle": list(runs)}


def ends(first: object, last: object, **more: object) -> dict:
    return {"min_global_steps": first, "max_global_steps": last, **more}


def test_areal_by_value() -> None:
    found = imported("areal")
    assert found.plan.name == "areal (areal)"
    assert found.plan.source.tolist() == [[0, 0], [0, 0], [0, 2], [1, 2]]
    # line 7 before line 8 of equal age; line 10 is older than line 9; line 14 spans more versions than line 13
    assert found.plan.switches.tolist() == [[1, 1, 10, 1], [2, 0, 35, 1], [3, 0, 20, 2], [3, 0, 40, 3]]
    assert found.plan.lag.tolist() == [[0, 0], [1, 1], [2, 0], [2, 1]]
    assert found.remarks == (
        "the last 1 of 17 responses are left out: an update takes 4",
        "3 of 8 groups had responses of different versions or switches; the oldest stands for the group",
    )


def test_verl_by_value() -> None:
    """From the middle of a run at version 5, two updates per weight sync: 5, 6 and 7 become 0, 2 and 4."""
    found = imported("verl", updates_per_version=2)
    assert found.plan.source.tolist() == [[0, 0], [0, 0], [0, 2], [2, 0], [0, 2]]
    # line 9: 5 to 6 over 20 tokens; line 15: 5 to 6 of unknown length; line 17: 5 to 7 over 31 tokens
    assert found.plan.switches.tolist() == [[2, 0, 10, 2], [4, 0, 10, 2], [4, 0, 20, 4]]
    assert found.remarks == (
        "versions count from 5, the newest of the first update; exact if the file begins with the run",
        "2 of 20 responses began with an older version than that; version 0 stands for it",  # lines 3 and 8
        "4 of 20 responses record their first and last version only; spread evenly over their tokens",
        "1 of 20 responses span several versions without a length; the first one stands for all of it",
        "3 of 10 groups had responses of different versions or switches; the oldest stands for the group",
    )


def test_trl_by_value() -> None:
    """Versions count from 1, the sync before training; two updates per sync."""
    found = imported("trl", responses=3, updates_per_version=2)
    assert found.plan.source.tolist() == [[0, 0], [0, 0], [0, 2], [2, 0]]
    assert found.plan.switches.tolist() == []
    assert found.remarks == (
        "versions count from 1, the newest of the first update; exact if the file begins with the run",
    )


def test_prime_rl_by_value() -> None:
    found = imported("prime_rl")
    assert found.plan.source.tolist() == [[0, 0], [0, 0], [1, 0], [2, 1]]
    # line 7: 0 to 1 over 24 + 16 tokens of two calls; line 11: 0 to 2 over 9; line 15: 1 to 3 of unknown length
    assert found.plan.switches.tolist() == [[1, 1, 20, 1], [2, 1, 3, 1], [2, 1, 6, 2]]
    assert found.remarks == (
        "4 of 16 responses record their first and last version only; spread evenly over their tokens",
        "1 of 16 responses span several versions without a length; the first one stands for all of it",
        "2 of 8 groups had responses of different versions or switches; the oldest stands for the group",
    )


def test_pipeline_rl_by_value() -> None:
    """Four samples per update: 0, 4, 6 and 12 samples are 0, 1, 1.5 and 3 updates."""
    found = imported("pipeline_rl", updates_per_version=Fraction(1, 4))
    assert found.plan.source.tolist() == [[0, 0], [0, 1], [1, 1], [0, 3]]
    assert found.plan.switches.tolist() == []
    assert found.remarks == (
        "2 of 16 responses have versions between two updates; rounded down to whole updates",
        "1 of 8 groups had responses of different versions or switches; the oldest stands for the group",
    )


@pytest.mark.parametrize(
    ("calls", "tokens"),
    [
        ([{"usage": {"completion_tokens": 3}}, {"usage": {"completion_tokens": 0}}], 3),
        ([{"usage": {"completion_tokens": 0}}], None),
        ([{"usage": {"completion_tokens": 3}}, {}], None),
        ([{"usage": {"completion_tokens": "3"}}], None),
        ([{"usage": {"completion_tokens": 3}}, {"usage": {"completion_tokens": -1}}], None),
        ([{"usage": None}], None),
        ([], None),
    ],
)
def test_the_length_of_a_prime_rl_episode(calls: list[dict], tokens: int | None) -> None:
    record = {"run": {"work": {"policy": {"start": 4, "end": 4}}}, "traces": [{"calls": calls}]}
    assert IMPORTERS["prime_rl"](record).runs == ((4, tokens),)


def test_every_system_has_a_file_of_its_shape() -> None:
    assert {file.stem for file in TRACES.glob("*.jsonl")} >= set(IMPORTERS)


@pytest.mark.parametrize(
    ("tokens", "switches", "lost"),
    [
        (100, [[1, 1, 10, 1], [2, 0, 35, 1], [3, 0, 20, 2], [3, 0, 40, 3]], None),
        (64, [[1, 1, 6, 1], [2, 0, 22, 1], [3, 0, 12, 2], [3, 0, 25, 3]], 0),  # 6.4, 22.4, 12.8, 25.6
        (200, [[1, 1, 20, 1], [2, 0, 70, 1], [3, 0, 40, 2], [3, 0, 80, 3]], 0),
        (4, [[1, 1, 1, 1], [2, 0, 1, 1], [3, 0, 1, 3]], 1),  # 20 and 40 fall on 0 and 1: token 1, version 3
    ],
)
def test_tokens_rescale_the_switches(tokens: int, switches: list[list[int]], lost: int | None) -> None:
    """The longest response of the file, line 14, has 100 tokens."""
    found = imported("areal", tokens=tokens)
    assert found.plan.switches.tolist() == switches
    assert found.plan.source.tolist() == imported("areal").plan.source.tolist()
    remark = f"tokens are scaled by {tokens}/100, the longest response; {lost} switches fell onto another one"
    assert [text for text in found.remarks if text.startswith("tokens")] == ([] if lost is None else [remark])


def test_tokens_of_responses_without_lengths_need_no_scale() -> None:
    options = {"responses": 3, "updates_per_version": 2}
    scaled, plain = imported("trl", tokens=8, **options), imported("trl", **options)
    assert scaled.plan.digest == plain.plan.digest and scaled.remarks == plain.remarks


def test_the_longest_response_counts_where_its_update_is_left_out(written) -> None:
    file = written(rle([0, 10]), rle([0, 8], [1, 2]), rle([0, 20]))
    found = import_trace("areal", file, groups=1, responses=1, tokens=10)
    assert found.plan.switches.tolist() == [[1, 0, 4, 1]]
    file = written(rle([0, 10]), rle([0, 10]), rle([0, 8], [1, 2]), rle([0, 10]), rle([0, 20]))
    found = import_trace("areal", file, groups=1, responses=2, tokens=10)
    assert found.plan.switches.tolist() == [[1, 0, 4, 1]]


def test_more_versions_than_tokens_keep_both_ends(written) -> None:
    first = [ends(0, 0)] * 9
    file = written(*first, ends(3, 8, response_len=2), ends(3, 8, response_len=3), ends(3, 8, response_len=1))
    assert import_trace("verl", file, groups=1, responses=1).plan.switches.tolist() == [
        [9, 0, 1, 8],
        [10, 0, 1, 5],
        [10, 0, 2, 8],
    ]


def test_runs_that_are_one_version_after_rounding_are_merged(written) -> None:
    """Of 4 samples per update, 4 and 6 are version 1; 8 is version 2."""
    file = written(*[rle([0, 5])] * 8, rle([4, 3], [6, 3], [8, 3]))
    plan = import_trace("areal", file, groups=1, responses=1, updates_per_version=Fraction(1, 4)).plan
    assert plan.source[-1].tolist() == [1] and plan.switches.tolist() == [[8, 0, 6, 2]]


def test_a_file_from_the_middle_counts_from_its_first_update(written) -> None:
    """The newest of the first update, not the first line's; parts of a response older than it fall together."""
    lines = [rle([7, 4]), rle([8, 4], [9, 4]), rle([6, 2], [8, 2], [10, 2]), rle([10, 3])]
    found = import_trace("areal", written(*lines), groups=2, responses=1)
    assert found.plan.source.tolist() == [[0, 0], [0, 1]]
    assert found.plan.switches.tolist() == [[1, 0, 4, 1]]
    assert found.remarks == (
        "versions count from 9, the newest of the first update; exact if the file begins with the run",
        "3 of 4 responses began with an older version than that; version 0 stands for it",
    )


def test_samples_count_from_the_first_update_too(written) -> None:
    """A run resumed at 10 samples, 4 per update: 10 and 14 are whole updates."""
    lines = [{"metadata": {"model_version": version}} for version in (10, 10, 14, 10, 17, 18)]
    found = import_trace("pipeline_rl", written(*lines), groups=2, responses=1, updates_per_version=Fraction(1, 4))
    assert found.plan.source.tolist() == [[0, 0], [1, 0], [1, 2]]
    assert found.remarks[1:] == ("1 of 6 responses have versions between two updates; rounded down to whole updates",)


@given(st.data())
@settings(max_examples=60)
def test_a_plan_written_as_records_comes_back(tmp_path_factory, data) -> None:
    updates, groups, responses = (data.draw(st.integers(1, most)) for most in (6, 3, 3))
    source, switches, lines = np.zeros((updates, groups), np.int32), [], []
    for update in range(updates):
        for group in range(groups):
            versions = sorted(data.draw(st.sets(st.integers(0, update), min_size=1, max_size=4)))
            lengths = [data.draw(st.integers(1, 9)) for _ in versions]
            source[update, group] = versions[0]
            starts = np.cumsum(lengths)
            switches += [(update, group, starts[i], version) for i, version in enumerate(versions[1:])]
            lines += [rle(*([v, n] for v, n in zip(versions, lengths, strict=True)))] * responses
    file = tmp_path_factory.mktemp("plan") / "run.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    found = import_trace("areal", file, groups=groups, responses=responses)
    assert found.remarks == ()
    assert found.plan.digest == LagPlan("", source, np.array(switches, np.int32).reshape(-1, 4)).digest


FUTURE = "or less in update 1 \\(versions count from 0, the newest of the first update\\); check groups, responses and"
EPISODE = {"run": {"work": {"policy": {"start": 2, "end": 1}}}}


@pytest.mark.parametrize(
    ("system", "line", "message"),
    [
        ("areal", {"head_version": 0}, "version_rle is missing, expected runs"),
        ("areal", rle(), r"version_rle is \[\], expected runs"),
        ("areal", {"version_rle": 3}, "version_rle is 3, expected runs"),
        ("areal", rle([0]), r"version_rle is \[\[0\]\], expected runs"),
        ("areal", rle([0, 4.5]), r"version_rle is \[\[0, 4.5\]\], expected runs"),
        ("areal", rle([True, 4]), r"version_rle is \[\[true, 4\]\], expected runs"),
        ("areal", rle([-1, 4]), r"version_rle is \[\[-1, 4\]\], expected versions from 0 that never fall"),
        (
            "areal",
            rle([1, 4], [0, 4]),
            r"version_rle is \[\[1, 4\], \[0, 4\]\], expected versions from 0 that never fall",
        ),
        (
            "areal",
            rle([0, 4], [1, 0]),
            r"version_rle is \[\[0, 4\], \[1, 0\]\], expected whole numbers of tokens above 0",
        ),
        ("areal", rle([0, END]), f"the response has {END} tokens, expected fewer than {END}"),
        ("areal", rle([0, 4], [2, 1]), f"version_rle holds version 2, expected 1 {FUTURE}"),
        ("verl", {"max_global_steps": 0}, "min_global_steps is missing, expected a whole number from 0"),
        ("verl", ends(0, "1"), 'max_global_steps is "1", expected a whole number from 0'),
        ("verl", ends(1, 0), "max_global_steps is 0, expected a whole number from 1"),
        ("verl", ends(0, 0, response_len=0), "response_len is 0, expected a whole number from 1"),
        ("verl", ends(0, 2), f"max_global_steps holds version 2, expected 1 {FUTURE}"),
        ("trl", {}, "model_version is missing, expected a whole number from 0"),
        ("trl", {"model_version": None}, "model_version is missing, expected a whole number from 0"),
        ("trl", {"model_version": 1.0}, "model_version is 1.0, expected a whole number from 0"),
        ("trl", {"model_version": [0] * 99}, r"model_version is \[0, 0, .*\.\.\., expected a whole number from 0"),
        ("prime_rl", {"run": {"work": 3}}, "run.work.policy.start is missing, expected a whole number from 0"),
        ("prime_rl", EPISODE, "run.work.policy.end is 1, expected a whole number from 2"),
        ("pipeline_rl", {"metadata": {}}, "metadata.model_version is missing, expected a whole number from 0"),
        ("pipeline_rl", {"model_version": 0}, "metadata.model_version is missing"),
        ("areal", "{version_rle", "not JSON: '{version_rle'"),
        ("areal", "", "not JSON: ''"),
        ("areal", [[0, 4]], r"expected an object, got '\[\[0, 4\]\]'"),
    ],
)
def test_a_wrong_line_is_named(written, system: str, line: object, message: str) -> None:
    good = {**rle([0, 4]), **ends(0, 0), "model_version": 0, "metadata": {"model_version": 0}}
    good["run"] = {"work": {"policy": {"start": 0, "end": 0}}}
    file = written(good, line)
    with pytest.raises(InputError, match=f"^trace {file}, line 2: {message}") as raised:
        import_trace(system, file, groups=1, responses=1)
    assert "\n" not in str(raised.value)


def test_a_version_from_the_future_is_told_in_the_unit_of_the_system() -> None:
    """Of two updates per version, update 1 trains on version 0; of 3 samples per update, update 3 on versions to 11."""
    with pytest.raises(InputError, match="line 7: version_rle holds version 1, expected 0 or less in update 1"):
        imported("areal", updates_per_version=2)
    with pytest.raises(InputError, match=r"line 15: metadata.model_version holds version 12, expected 11 or less"):
        imported("pipeline_rl", updates_per_version=Fraction(1, 3))


def test_files_without_an_update_are_refused(written, tmp_path: Path) -> None:
    options = {"groups": 2, "responses": 2}
    with pytest.raises(InputError, match=r"run.jsonl: empty; expected one JSON object per response"):
        import_trace("areal", written(), **options)
    with pytest.raises(InputError, match=r"has 3 responses, an update 4 \(groups=2, responses=2\)"):
        import_trace("areal", written(*[rle([0, 4])] * 3), **options)
    with pytest.raises(InputError, match=r"absent.jsonl: No such file"):
        import_trace("areal", tmp_path / "absent.jsonl", **options)
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bytes.jsonl: not UTF-8 text"):
        import_trace("areal", tmp_path / "bytes.jsonl", **options)


@pytest.mark.parametrize("name", ["groups", "responses", "updates_per_version", "tokens"])
def test_wrong_arguments_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}=0: expected a number above 0"):
        imported("areal", **{name: 0})


def test_an_unknown_system_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'prime-rl' \(did you mean 'prime_rl'\?\); expected areal, verl, trl"):
        import_trace("prime-rl", tmp_path, groups=1, responses=1)
