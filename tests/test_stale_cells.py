"""A cell knows the code that made it: an edited objective is trained again, and two versions are never one row."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_results import HOW, INPUTS, made_up
from small_suites import LAGBENCH, SMALL, knowing
from test_plugins import PLUGIN, install

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.checksums import write_manifest
from lagbench.harness.config import load_suite
from lagbench.harness.record import read_record
from lagbench.harness.report.comparison import compare
from lagbench.harness.report.gather import gather, gather_fitting
from lagbench.harness.sweep.cell import Execution, require_same_code
from lagbench.harness.sweep.claim import Claim, claim
from lagbench.harness.sweep.expand import cells

COMMAND = ("run", "quick", "objectives=truncated_is", "baseline=truncated_is", "lags=0,2", "updates=2", *SMALL)
pytestmark = pytest.mark.timeout(480)  # two or three commands
CELLS = ("truncated_is-constant-0-seed0", "truncated_is-constant-2-seed0")
Step = Callable[..., subprocess.CompletedProcess[str]]


def command_line(folder: Path) -> Step:
    """Of an environment in which the plug-in is installed, as the copy that lies in the folder."""
    options: dict[str, Any] = {"cwd": folder, "env": knowing(folder / "site"), "timeout": 400}
    return lambda *words: subprocess.run([LAGBENCH, *words], capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plug-in, and a suite that has been run with it."""
    folder = tmp_path_factory.mktemp("stale")
    install(PLUGIN, folder)
    ran = command_line(folder)(*COMMAND, "--results", "out")
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.fixture
def somebodys(once: Path, tmp_path: Path) -> tuple[Path, Path, Step]:
    """The plug-in's file, the results, and the command line, all in a folder of this test's own."""
    folder = Path(shutil.copytree(once, tmp_path / "own"))
    return folder / "site" / "truncated_is.py", folder / "out", command_line(folder)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def flip_the_sign(path: Path) -> None:
    edit(path, "Loss(-weight", "Loss(weight")


def weights(folder: Path) -> dict[str, str]:
    return {path.parent.name: store.read_json(path)["weights_digest"] for path in sorted(folder.glob("*/result.json"))}


def test_an_edited_objective_is_trained_again_and_the_command_says_why(somebodys: tuple[Path, Path, Step]) -> None:
    source, out, lagbench = somebodys
    before = weights(out)
    assert store.read_json(out / CELLS[0] / store.ENVIRONMENT)["packages"]["truncated-is"] == "0.0.1"
    edit(source, '"""REINFORCE', '"""The REINFORCE')  # which changes nothing
    same = lagbench(*COMMAND, "--results", "out")
    assert "3 finished, 0 to run" in same.stderr and "again" not in same.stderr and "proving" not in same.stderr
    flip_the_sign(source)
    flipped = lagbench(*COMMAND, "--results", "out")
    assert flipped.returncode == 0, flipped.stderr
    why = f"2 cells ({CELLS[0]}, ...) are made again: objective truncated_is has changed since"
    assert why in flipped.stderr and "1 finished, 2 to run" in flipped.stderr
    assert "proving lag-0 parity and determinism" in flipped.stderr
    assert {name for name, digest in weights(out).items() if digest != before[name]} == set(CELLS)


def test_adding_a_seed_never_averages_two_versions(somebodys: tuple[Path, Path, Step]) -> None:
    source, out, lagbench = somebodys
    flip_the_sign(source)
    added = lagbench(*COMMAND, "seeds=1", "--results", "out")
    assert added.returncode == 0, added.stderr
    assert f"2 cells ({CELLS[0]}, ...) are counted no more: objective truncated_is has changed since" in added.stderr
    report = compare(gather([out]))
    assert [(row.seeds, row.stale, row.missing) for row in report.rows] == [((1,), 1, 0)] * 2
    assert {cell.state for cell in report.cells} == {"finished", "stale"}
    assert len(report.code["objective truncated_is"]) == 16  # of one version
    assert any("Of other code, not counted" in note and "truncated_is has changed" in note for note in report.notes)
    assert gather_fitting([out])[1] == []  # what does not count does not mix


def test_cells_that_are_kept_are_marked_and_stay_off_leaderboards(somebodys: tuple[Path, Path, Step]) -> None:
    source, out, lagbench = somebodys
    before = weights(out)
    flip_the_sign(source)
    kept = lagbench(*COMMAND, "--keep-stale", "--results", "out")
    assert kept.returncode == 0, kept.stderr
    why = f"2 cells ({CELLS[0]}, ...) are kept and marked: objective truncated_is has changed since"
    assert why in kept.stderr and "3 finished, 0 to run" in kept.stderr
    assert kept.stdout.count("1 of other code") == 2 and weights(out) == before
    with pytest.raises(InputError, match=rf"are of different code: {CELLS[0]} was kept although objective truncated"):
        gather_fitting([out])
    edit(source, "Loss(weight", "Loss(-weight")
    back = lagbench(*COMMAND, "--results", "out")
    assert back.returncode == 0 and "3 finished, 0 to run" in back.stderr  # the code is the one that made them
    assert gather_fitting([out])[1] == []


def other_code(cell: Path, *whats: str) -> None:
    """Make a cell look as if other code had made it."""
    held = store.read_json(cell / store.RUN)
    store.write_json(cell / store.RUN, held | {"code": held["code"] | dict.fromkeys(whats, "f" * 16)})


GRID = ["objectives=policy_gradient,spo", "lags=0,8", "updates=12", "prompts_per_update=4"]
CELL = "spo-constant-8-seed0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished suite of two objectives at two lags with two seeds."""
    made_up(tmp_path / "out", lambda run: 0.25 + 0.25 * run.seed, [*GRID[:2], "seeds=0,1"])
    return tmp_path / "out"


def claimed(folder: Path, *overrides: str, keep: bool = False) -> Claim:
    suite = load_suite("quick", [*GRID, *overrides])
    how = Execution("lagbench run quick again", workers=1, checkpoint_every_s=15.0, keep_stale=keep)
    return claim(suite, cells(suite), INPUTS, folder, how)


def finished(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/result.json")}


@pytest.mark.parametrize(
    ("what", "stale"),
    [
        ("objective spo", True),
        ("task chain", True),
        ("lagbench", True),
        ("schedule constant", False),  # it plans the same
        ("harness", False),  # determinism is proven again
    ],
)
def test_whose_change_makes_a_cell_stale(folder: Path, what: str, stale: bool) -> None:
    everything = finished(folder)
    other_code(folder / CELL, what)
    found = claimed(folder, "seeds=0,1")
    assert finished(folder) == everything - ({CELL} if stale else set())
    told = f"{CELL} is made again: {what} has changed since (--keep-stale would keep and mark them)"
    assert found.remarks == ((told,) if stale else ())
    code = store.read_json(folder / CELL / store.RUN)["code"]
    assert code[what] == ("f" * 16 if what == "harness" else found.record.code[what])


def test_another_plan_of_an_edited_schedule_is_made_again(folder: Path) -> None:
    held = store.read_json(folder / CELL / store.RUN)
    store.write_json(folder / CELL / store.RUN, held | {"plan_digest": "another"})
    with pytest.raises(InputError, match=r"other settings \(plan_digest: another plan, as of a trace\)"):
        claimed(folder)
    other_code(folder / CELL, "schedule constant")
    assert claimed(folder).remarks[0].startswith(f"{CELL} is made again: schedule constant has changed since")
    assert CELL not in finished(folder)


def test_an_edited_default_is_a_change_of_code_and_another_value_is_not(folder: Path) -> None:
    names = ("spo-constant-0-seed0", "spo-constant-0-seed1", "spo-constant-8-seed1", CELL)
    for name in names:
        held = store.read_json(folder / name / store.RUN)
        store.write_json(folder / name / store.RUN, held | {"hyperparameters": {"neg_scale": 0.9}})
    record = store.read_json(folder / store.SUITE)
    record["hyperparameters"]["spo"] = {"neg_scale": 0.9}
    store.write_json(folder / store.SUITE, record)
    with pytest.raises(InputError, match=r"other settings \(hyperparameters\)"):
        claimed(folder)
    for name in names:
        other_code(folder / name, "objective spo")
    record["code"]["objective spo"] = "f" * 16
    store.write_json(folder / store.SUITE, record)
    with pytest.raises(InputError, match=r"other settings \(hyperparameters\)"):
        claimed(folder, keep=True)  # a row has one value
    assert claimed(folder, "seeds=0,1").record.hyperparameters["spo"] == {"neg_scale": 0.2}


def test_an_interrupted_cell_goes_on_by_the_same_code_alone(folder: Path) -> None:
    (folder / CELL / store.RESULT).unlink()
    (folder / CELL / store.CHECKPOINT).write_text("")
    assert claimed(folder).remarks == () and (folder / CELL / store.CHECKPOINT).exists()
    other_code(folder / CELL, "harness")
    assert "harness has changed since" in claimed(folder, keep=True).remarks[0]  # no result to keep
    assert not (folder / CELL / store.CHECKPOINT).exists()


def test_cells_of_a_version_that_recorded_no_code(folder: Path) -> None:
    """Readable as they are, with a note; a new command takes them for stale, or keeps them."""
    for path in folder.glob(f"*/{store.RUN}"):
        store.write_json(path, {key: value for key, value in store.read_json(path).items() if key != "code"})
    record = store.read_json(folder / store.SUITE)
    kept = ("adjusted", "code", "kept", "declared")
    store.write_json(folder / store.SUITE, {key: value for key, value in record.items() if key not in kept})
    write_manifest(folder)
    report = compare(gather([folder]))
    assert all(len(row.seeds) == 2 for row in report.rows) and report.code == {}
    assert any(note.startswith("Code unknown: ") for note in report.notes)
    everything = finished(folder)
    found = claimed(folder, "seeds=0", keep=True)
    assert finished(folder) == everything and len(found.record.kept) == len(everything)
    assert found.remarks == (f"{len(everything)} cells (base, ...) are kept and marked: made by a version of LagBench "
                             "that did not record its code",)  # fmt: skip
    assert all(row.kept == 2 for row in compare(gather([folder])).rows)
    again, others = claimed(folder, "seeds=0").remarks
    assert again.startswith("5 cells (base, ...) are made again: made by a version") and "kept and marked" in others
    assert finished(folder) == {name for name in everything if name.endswith("seed1")}


def test_cells_of_other_code_are_no_part_of_any_row(folder: Path) -> None:
    """By value: seeds 0 and 1 score 0.25 and 0.5; of two versions there is no mean."""
    other_code(folder / "spo-constant-8-seed1", "objective spo")
    write_manifest(folder)
    report = compare(gather([folder]))
    row = next(row for row in report.rows if (row.objective, row.constant_lag) == ("spo", 8))
    assert row.by_seed == {0: 0.25} and (row.stale, row.missing, row.kept) == (1, 0, 0)
    assert next(cell.state for cell in report.cells if cell.name == "spo-constant-8-seed1") == "stale"
    record = store.read_json(folder / store.SUITE)
    store.write_json(folder / store.SUITE, record | {"kept": ["spo-constant-8-seed1"]})
    write_manifest(folder)
    row = next(row for row in compare(gather([folder])).rows if (row.objective, row.constant_lag) == ("spo", 8))
    assert row.by_seed == {0: 0.25, 1: 0.5} and (row.stale, row.kept) == (0, 1)


def test_folders_of_other_code_do_not_share_a_table(folder: Path, tmp_path: Path) -> None:
    theirs = Path(shutil.copytree(folder, tmp_path / "theirs"))

    def refused(change: Callable[[dict[str, Any]], object]) -> str:
        shutil.rmtree(theirs)
        shutil.copytree(folder, theirs)
        for path in (theirs / store.SUITE, *theirs.glob(f"*/{store.RUN}")):
            held = store.read_json(path)
            change(held)
            store.write_json(path, held)
        write_manifest(theirs)
        _, found = gather_fitting([folder, theirs])
        return found[0].why if found else ""

    code = store.read_json(folder / store.SUITE)["code"]
    for what in ("objective spo", "task chain", "schedule constant", "lagbench"):
        why = refused(lambda held, what=what: held["code"].update({what: "f" * 16} if what in held["code"] else {}))
        assert why == f"made by other code: {what} {'f' * 16}, not {code[what]}"
    assert refused(lambda held: held["code"].update({"objective tis": "f" * 16, "harness": "f" * 16})) == ""
    assert "did not record its code" in refused(lambda held: held.pop("code"))
    with pytest.raises(InputError, match=r"theirs does not belong into one report with .*out: one of both was made"):
        gather([folder, theirs])


def test_code_that_changes_while_a_command_runs_is_noticed_by_the_cell(folder: Path) -> None:
    run = next(run for run in cells(load_suite("quick", GRID)) if run.name == CELL)
    require_same_code(run, folder / CELL)
    other_code(folder / CELL, "harness")
    require_same_code(run, folder / CELL)  # the process that forks cells has imported it before
    other_code(folder / CELL, "objective spo", "task chain")
    with pytest.raises(
        InputError, match=r"^task chain and objective spo: other code than when the command began; it was"
    ):
        require_same_code(run, folder / CELL)


def test_what_a_folder_says_of_its_code(folder: Path) -> None:
    record = read_record(folder)
    assert record is not None and record.kept == ()
    assert set(record.code) == {
        *("lagbench", "harness", "task chain", "schedule constant", "objective spo", "objective policy_gradient")
    }
    base, cell = (store.read_json(folder / name / store.RUN)["code"] for name in ("base", CELL))
    assert set(base) == {"lagbench", "harness", "task chain"} and set(cell) == set(record.code) - {
        "objective policy_gradient"
    }
    assert cell.items() <= record.code.items() and HOW.command in record.declared[0].command
    assert os.sep not in str(record.code)
