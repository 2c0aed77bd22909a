"""What a results folder says of itself, and whether its files are still what was written."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.checksums import (
    damaged_cells,
    damaged_files,
    manifest_digest,
    seal,
    verify_manifest,
    write_manifest,
)
from lagbench.harness.config import load_suite
from lagbench.harness.models import EMBEDDED
from lagbench.harness.record import SuiteRecord, read_record, suite_digest
from lagbench.harness.sweep import run
from lagbench.harness.sweep.cell import Execution
from lagbench.harness.sweep.claim import claim
from lagbench.harness.sweep.expand import cells, check
from lagbench.harness.sweep.provenance import inputs as inputs_of

INPUTS = {
    "model_digest": "m" * 64,
    "data_digest": {"chain": "d" * 64},
    "data_rows": {"chain": {"train": 3488, "test": 512}},
}
HOW = Execution("lagbench run quick", workers=1, checkpoint_every_s=15.0)
SMALL = ("objectives=grpo,spo", "lags=0,4", "seeds=0")


def claimed(folder: Path, *overrides: str, inputs: Any = INPUTS) -> SuiteRecord:
    """The folder after `lagbench run quick` with these overrides has claimed it."""
    suite = load_suite("quick", [*SMALL, *overrides])
    return claim(suite, cells(suite), inputs, folder, HOW).record


def test_a_folder_says_what_it_is(tmp_path: Path) -> None:
    record = claimed(tmp_path, "collapse.window=7")
    assert read_record(tmp_path) == record
    held = json.loads((tmp_path / "suite.json").read_text())
    assert list(held) == [
        *("format", "name", "digest", "settings", "inputs", "collapse", "baseline", "objectives", "lags", "mismatch"),
        *("seeds", "hyperparameters", "cells", "search", "adjusted", "code", "kept", "declared"),
    ]
    assert held["format"] == "lagbench-suite@1" and held["name"] == "quick" and held["inputs"] == INPUTS
    assert held["settings"]["learning_rate"] == 1e-4 and held["settings"]["adam_betas"] == [0.9, 0.95]
    assert "collapse" not in held["settings"] and held["collapse"]["window"] == 7
    assert held["baseline"] == "policy_gradient" and held["search"] is None
    assert held["hyperparameters"]["grpo"] == {"clip_low": 0.2, "clip_high": 0.2} and "spo" in held["hyperparameters"]


def test_the_grid_is_the_union_of_all_commands(tmp_path: Path) -> None:
    claimed(tmp_path)
    record = claimed(
        tmp_path, "objectives=asympo,grpo", "lags=areal:4;0;in_flight:2", "seeds=2,0", "mismatch=none,top_p:0.90"
    )
    assert record.objectives == ("grpo", "spo", "asympo")
    assert record.lags[:2] == ("constant:0", "constant:4") and record.lags[-1] == "in_flight:2"
    assert record.mismatch == ("none", "top_p:0.9") and record.seeds == (0, 2)
    assert record.cells[:5] == ("base", *(f"{o}-constant-{k}-seed0" for k in (0, 4) for o in ("grpo", "spo")))
    planned = {path.parent.name for path in tmp_path.glob(f"*/{store.RUN}")}
    assert len(record.cells) == len(set(record.cells)) and set(record.cells) == planned
    assert "spo-constant-0-seed2" not in record.cells  # no command has planned it, though it is in the grid
    assert claimed(tmp_path) == record


def state(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["baseline=spo"], "baseline=spo, but the tests of .* are against policy_gradient since its first command"),
        (["seeds=1", "updates=9"], r"holds a suite with other settings \(updates\)"),
        (["updates=9"], r"grpo-constant-0-seed0 holds a cell with other settings \(updates\)"),
        (["seeds=1", "hyperparameters.grpo.clip_low=0.1"], r"holds grpo with other hyperparameters \(clip_low\)"),
        (["learning_rate=1e-3", "validation=64"], r"holds a cell with other settings \(learning_rate, validation\)"),
    ],
)
def test_what_does_not_belong_is_refused_in_one_line(tmp_path: Path, overrides: list[str], message: str) -> None:
    claimed(tmp_path)
    write_manifest(tmp_path)
    before = state(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        claimed(tmp_path, *overrides)
    assert "\n" not in str(error.value) and str(error.value).endswith("use another --results folder")
    assert state(tmp_path) == before


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    claimed(tmp_path)
    with pytest.raises(InputError, match=r"other settings \(model_digest\)"):
        claimed(tmp_path, inputs=INPUTS | {"model_digest": "n" * 64})


def test_a_suite_that_names_no_baseline_takes_over_the_folders(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('objectives = ["spo"]\nlags = [0]\n')
    folder = tmp_path / "out"
    for override, baseline in (("objectives=spo", "spo"), ("objectives=grpo", "spo"), ("baseline=spo", "spo")):
        suite = load_suite(str(mine), [override])
        assert claim(suite, cells(suite), INPUTS, folder, HOW).record.baseline == baseline


def older(folder: Path) -> None:
    """Take away what came later than the first results folders."""
    for name in (store.SUITE, store.CHECKSUMS):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob(f"*/{store.RUN}"):
        cell = store.read_json(path)
        cell.pop("validation", None)
        store.write_json(path, cell)


def test_a_folder_of_an_earlier_version_is_taken(tmp_path: Path) -> None:
    """Its cells are planned ones, too, and it has no family of tests yet."""
    claimed(tmp_path)
    ids = {path.parent.name: store.read_json(path)["id"] for path in tmp_path.glob(f"*/{store.RUN}")}
    older(tmp_path)
    assert read_record(tmp_path) is None
    record = claimed(tmp_path, "lags=4", "objectives=spo", "baseline=spo")
    assert record.baseline == "spo" and record.seeds == (0,)
    assert record.objectives == ("spo", "grpo") and record.lags == ("constant:4", "constant:0")
    assert set(record.cells) == ids.keys() and record.cells[:2] == ("base", "spo-constant-4-seed0")
    assert store.read_json(tmp_path / "spo-constant-4-seed0" / store.RUN)["validation"] == 0
    older(tmp_path)
    with pytest.raises(InputError, match=r"holds a cell with other settings \(validation\)"):
        claimed(tmp_path, "validation=64")
    assert {name: store.read_json(tmp_path / name / store.RUN)["id"] for name in ids} == ids


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:200], "is damaged or not of this version of lagbench .JSON: "),
        (lambda text: "[]", "is damaged or not of this version"),
        (lambda text: text.replace("suite@1", "suite@9"), r"\(format: "),
        (lambda text: text.replace('"updates": 100', '"updates": 101'), "its digest .* is not that of its settings"),
        (lambda text: text.replace('"chain": {', '"chian": {'), "is damaged .KeyError: 'chain'"),
        (lambda text: text.replace('"model_digest": "m', '"model_digest": "n'), "its digest .* is not that"),
    ],
)
def test_a_changed_suite_file_is_one_line(tmp_path: Path, damage: Any, message: str) -> None:
    claimed(tmp_path)
    path = tmp_path / "suite.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match=message) as error:
        read_record(tmp_path)
    assert "\n" not in str(error.value)


def test_digest_covers_what_makes_results_comparable(tmp_path: Path) -> None:
    def digest(*overrides: str, **changes: Any) -> str:
        return suite_digest(load_suite("quick", overrides).settings(), INPUTS | changes)

    same = digest()
    for override in (
        *("objectives=spo", "lags=3", "seeds=4", "mismatch=bf16", "baseline=spo", "hyperparameters.spo.neg_scale=0.2"),
        *("collapse.window=3", "search.learning_rates=1", "validation=0", "model=elsewhere", "data=elsewhere"),
    ):
        assert digest(override) == same, override
    for override in (
        "learning_rate=1e-3",
        "updates=7",
        "validation=7",
        "prompt=boxed",
        "eval_samples=2",
        "temperature=2",
    ):
        assert digest(override) != same, override
    assert digest(model_digest="n" * 64) != same
    assert digest(data_digest={"chain": "e" * 64}) != same
    assert digest(data_rows={"chain": {"train": 1, "test": 512}}) != same


def test_digest_knows_exams_by_content_and_order() -> None:
    def digest(*names: str) -> str:
        held = {"chain": "d", **{name: name.partition(":")[0] for name in names}}
        rows = {name: {"train": 1, "test": 2} for name in held}
        inputs = {"model_digest": "m", "data_digest": held, "data_rows": rows}
        return suite_digest(load_suite("quick", [f"eval_tasks={','.join(names)}"]).settings(), inputs)

    assert digest("gsm8k:here", "chain") == digest("gsm8k:/far/away", "chain")
    assert len({digest("gsm8k:here", "chain"), digest("chain", "gsm8k:here"), digest("chain"), digest("svamp:x")}) == 4


def test_a_model_is_the_same_wherever_it_is(tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED["tiny"], tmp_path / "copy")
    suites = [load_suite("quick", [f"model={model}"]) for model in ("tiny", str(tmp_path / "copy"))]
    assert len({suite_digest(suite.settings(), inputs_of(suite.model, check(suite))) for suite in suites}) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A claimed folder with a finished cell, one that ended non-finite, one that is under way, and their checksums."""
    out = tmp_path / "out"
    claimed(out)
    store.append_line(out / store.COMMANDS, {"command": "lagbench run quick"})
    cell = out / "grpo-constant-4-seed0"
    (cell / store.MODEL).mkdir()
    for name in (store.ENVIRONMENT, store.PLAN, store.TRACE, store.METRICS, "attempts-2.jsonl", "model/config.json"):
        (cell / name).write_text(f'{{"content of": "{name}"}}\n')
    store.write_json(cell / store.RESULT, seal({"scores": {}}, cell))
    failed = out / "spo-constant-4-seed0"
    (failed / store.METRICS).write_text('{"loss": 1.0}\n')
    store.write_json(failed / store.FAILED, {"reason": "NonFinite: loss", "non_finite_update": 1})
    (out / "spo-constant-0-seed0" / store.METRICS).write_text("{}\n")
    write_manifest(out)
    return out


def test_sha256sum_reads_the_manifest(folder: Path) -> None:
    ran = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    listed = [line.partition(":")[0] for line in ran.stdout.splitlines()]
    cells = ("base", "grpo-constant-0-seed0", "grpo-constant-4-seed0", "spo-constant-0-seed0", "spo-constant-4-seed0")
    assert listed[:2] == ["suite.json", "commands.jsonl"]
    assert set(listed[2:]) == {
        *(f"{cell}/run.json" for cell in cells),
        *(
            "grpo-constant-4-seed0/result.json",
            "spo-constant-4-seed0/failed.json",
            "spo-constant-4-seed0/metrics.jsonl",
        ),
    }
    assert verify_manifest(folder) == verify_manifest(folder, deep=True) == []


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


LISTED = [
    *("suite.json", "commands.jsonl", "base/run.json", "grpo-constant-4-seed0/result.json"),
    *("spo-constant-4-seed0/failed.json", "spo-constant-4-seed0/metrics.jsonl"),
]
COVERED = ["trace.jsonl", "metrics.jsonl", "attempts-2.jsonl", "plan.json", "environment.json", "model/config.json"]


@pytest.mark.parametrize("name", LISTED)
def test_a_changed_or_missing_file_is_named(folder: Path, name: str) -> None:
    flip(folder / name)
    assert verify_manifest(folder) == [f"{name}: not what lagbench run left"]
    (folder / name).unlink()
    assert f"{name}: missing" in verify_manifest(folder)


@pytest.mark.parametrize("name", COVERED)
def test_a_changed_or_missing_file_of_a_finished_cell_is_named(folder: Path, name: str) -> None:
    cell = folder / "grpo-constant-4-seed0"
    for harm, words in ((flip, "not what the cell wrote"), (Path.unlink, "missing")):
        harm(cell / name)
        assert verify_manifest(folder) == []
        assert verify_manifest(folder, deep=True) == damaged_cells(folder) == [f"{cell.name}/{name}: {words}"]


def test_every_wrong_file_has_its_sentence(folder: Path) -> None:
    cell = folder / "grpo-constant-4-seed0"
    for name in COVERED:
        flip(cell / name)
    assert len(damaged_files(cell)) == len(COVERED)
    for name in LISTED:
        flip(folder / name)
    assert len(verify_manifest(folder)) == len(LISTED)


def test_a_model_cleared_for_room_is_no_change(folder: Path) -> None:
    shutil.rmtree(folder / "grpo-constant-4-seed0" / store.MODEL)
    assert verify_manifest(folder, deep=True) == []


def test_a_result_put_in_by_hand_is_named(folder: Path) -> None:
    shutil.copytree(folder / "grpo-constant-4-seed0", folder / "spo-constant-7-seed0")
    (folder / "grpo-constant-0-seed0" / store.RESULT).write_text("{}")
    assert verify_manifest(folder) == [
        "grpo-constant-0-seed0/result.json: added since lagbench run",
        "spo-constant-7-seed0/run.json: added since lagbench run",
        "spo-constant-7-seed0/result.json: added since lagbench run",
    ]


@pytest.mark.parametrize(
    "line", ["x", "0" * 64, f"{'0' * 64}  ../secret", f"{'0' * 64}  /etc/passwd", f"{'0' * 63}  a"]
)
def test_a_manifest_that_is_none_is_named(folder: Path, line: str) -> None:
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{line}\n")
    assert verify_manifest(folder) == ["SHA256SUMS, line 11: not the checksum of a file in this folder"]


def test_a_folder_without_a_manifest_is_told_from_a_changed_one(folder: Path) -> None:
    assert (
        manifest_digest(folder) == subprocess.check_output(["sha256sum", folder / "SHA256SUMS"], text=True).split()[0]
    )
    (folder / "SHA256SUMS").unlink()
    assert manifest_digest(folder) is None
    assert [sentence.partition(": ")[0] for sentence in verify_manifest(folder, deep=True)] == ["SHA256SUMS"]
    flip(folder / "grpo-constant-4-seed0" / store.TRACE)
    assert damaged_cells(folder) == ["grpo-constant-4-seed0/trace.jsonl: not what the cell wrote"]


def test_checksums_are_written_however_a_command_ends(folder: Path) -> None:
    suite, console = load_suite("quick", SMALL), Console(stderr=True)
    out, runs = folder.parent / "another", cells(suite)
    for error in (KeyboardInterrupt, InputError):
        with pytest.raises(error), run.claimed(suite, runs, out, HOW, console):
            assert manifest_digest(out) is None
            with (
                pytest.raises(InputError, match="another lagbench is running in"),
                run.claimed(suite, runs, out, HOW, console),
            ):
                pass
            raise error
        assert manifest_digest(out) and verify_manifest(out) == []
    assert len(store.read_lines(out / store.COMMANDS)) == 2
    (out / store.SUITE).write_text("")
    before = state(out)
    with pytest.raises(InputError, match=r"suite\.json is damaged"), run.claimed(suite, runs, out, HOW, console):
        pass
    assert state(out) == before


def test_there_is_no_manifest_while_a_command_writes(folder: Path) -> None:
    claimed(folder)
    assert manifest_digest(folder) is None
