"""Gates: open on a sound suite, shut on one that is not."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_suites import LAGBENCH, SMALL

from lagbench.harness import store
from lagbench.harness.checksums import seal, write_manifest
from lagbench.harness.config import load_suite
from lagbench.harness.gate import Gate
from lagbench.harness.learn.loop import generate
from lagbench.harness.report.comparison import compare
from lagbench.harness.report.gates import gates
from lagbench.harness.report.results import read_results
from lagbench.harness.sweep import proofs
from lagbench.harness.sweep.expand import cells

SUITE = ("quick", "objectives=asympo,grpo", "baseline=grpo", "lags=0,in_flight:2", "updates=4", *SMALL)
RUNS = cells(load_suite(SUITE[0], SUITE[1:]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("gates")
    ran = subprocess.run(
        [LAGBENCH, "run", *SUITE, "--results", "out"], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert ran.returncode == 0, ran.stderr
    return folder / "out", ran.stdout


@pytest.fixture
def copied(finished: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished[0], tmp_path / "out"))


def gates_of(folder: Path) -> tuple[Gate, ...]:
    return gates(read_results(folder, "out"))


def failed(folder: Path) -> list[str]:
    return [f"{gate.name}: {gate.detail}" for gate in gates_of(folder) if gate.passed is False]


def change_line(path: Path, number: int, **changes: object) -> None:
    lines = store.read_lines(path)
    lines[number] |= changes
    store.write_lines(path, lines)


def test_all_gates_are_open_and_told_before_any_number(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert [(gate.name, gate.passed) for gate in gates_of(folder)] == [
        (name, True) for name in ("files", "lag-0 parity", "determinism", "lag", "prompts", "groups")
    ]
    head = printed.partition("\n\n")[0]  # nothing stands above them; long ones wrap
    assert head.startswith("ok: files: ") and head.count("ok: ") == 6
    assert "asympo-in_flight-2-seed0, repeated, measure the same" in " ".join(head.split())
    markdown = (folder / "report" / "report.md").read_text()
    assert not any(character.isdigit() for character in markdown.partition("- ok: files")[0])


def test_a_failed_gate_marks_the_result_and_the_exit_code(copied: Path, lagbench_here) -> None:
    """Made to look untouched: the cell's and the folder's checksums are those of the changed files."""
    cell = copied / "grpo-in_flight-2-seed0"
    change_line(cell / store.TRACE, 4, groups=[3, 3, 3, 3])
    result = store.read_json(cell / store.RESULT)
    result.pop("digest")
    store.write_json(cell / store.RESULT, seal(result, cell))
    write_manifest(copied)
    ran = lagbench_here("report", str(copied))
    assert ran.returncode == 1 and "NOT VALID" in ran.stdout
    assert "\nFAILED: lag: grpo-in_flight-2-seed0: planned " in ran.stdout.partition("\n\n")[0]
    assert "NOT VALID" in (copied / "report" / "report.html").read_text()
    shown = lagbench_here("report", str(copied), "--json")
    found = json.loads(shown.stdout)
    assert shown.returncode == 1 and [g["name"] for g in found["gates"] if g["passed"] is False] == ["lag"]
    assert found["valid"] is False


def test_a_changed_file_is_refused(copied: Path, lagbench_here) -> None:
    change_line(copied / "grpo-in_flight-2-seed0" / store.METRICS, 3, reward=1.0)
    ran = lagbench_here("report", str(copied))
    assert ran.returncode == 2 and ran.stdout == "" and len(ran.stderr.splitlines()) == 1
    assert "grpo-in_flight-2-seed0/metrics.jsonl: not what the cell wrote" in ran.stderr


def test_a_missing_trace_is_no_proof(copied: Path) -> None:
    (copied / "grpo-constant-0-seed0" / store.TRACE).unlink()
    assert [problem.partition(":")[0] for problem in failed(copied)] == ["lag", "groups"]


def test_a_failed_proof_shuts_the_gate_whatever_its_name(copied: Path) -> None:
    held = store.read_json(copied / store.GATES)
    store.write_json(copied / store.GATES, held | {"gates": [{"name": "new", "passed": False, "detail": "why"}]})
    assert failed(copied) == ["new: why"] and not compare(read_results(copied, "out")).valid
    store.write_json(copied / store.GATES, {"torn": 1})
    assert failed(copied)[0].endswith("is damaged; delete it and run the suite again")


def test_proofs_of_unchanged_cells_are_not_run_again(copied: Path) -> None:
    said: list[str] = []
    before = (copied / store.GATES).read_bytes()
    proofs.prove(RUNS, copied, said.append)
    assert said == [] and (copied / store.GATES).read_bytes() == before
    held = json.loads(before)
    other_harness = json.dumps(held | {"code": held["code"] | {"harness": "f" * 16}})
    for damaged in ("{", '{"cells": {}, "gates": []}', other_harness):
        (copied / store.GATES).write_text(damaged)
        proofs.prove(RUNS, copied, said.append)
        assert said.pop() == "proving lag-0 parity and determinism" and said == []
        assert (copied / store.GATES).read_bytes() == before


def test_other_prompts_are_noticed(copied: Path) -> None:
    change_line(copied / "grpo-constant-0-seed0" / store.METRICS, 2, prompts="0" * 16)
    (problem,) = failed(copied)
    assert problem.startswith("prompts: grpo-constant-0-seed0 and asympo-constant-0-seed0 trained on different prompts")


def test_dropped_groups_are_noticed(copied: Path) -> None:
    path = copied / "asympo-constant-0-seed0" / store.TRACE
    store.write_lines(path, store.read_lines(path)[:-1])
    assert "groups: asympo-constant-0-seed0: not all of 4 x 4 groups were trained on" in failed(copied)


def test_a_trace_that_cannot_be_read_is_named(copied: Path) -> None:
    (copied / "asympo-constant-0-seed0" / store.TRACE).write_text('{"format": "other"}\n')
    assert any("line 1: format is" in problem for problem in failed(copied))


def test_without_the_proofs_the_gates_are_not_run(copied: Path) -> None:
    (copied / store.GATES).unlink()
    (copied / store.CHECKSUMS).unlink()
    found = gates_of(copied)
    assert [gate.passed for gate in found] == [None, None, None, True, True, True]
    assert compare(read_results(copied, "out")).valid
    assert list(map(str, found))[:2] == [
        "not run: files: out has no SHA256SUMS yet; the same lagbench run goes on",
        "not run: lag-0 parity: lagbench run has not come to it; the same command goes on",
    ]


def test_parity_fails_if_the_loops_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    run = RUNS[1]
    assert proofs.lag_0_parity(run).passed is True

    def shifted(trainer, update: int, groups: np.ndarray):
        return generate(trainer, update, groups[::-1].copy())

    monkeypatch.setattr(proofs, "generate", shifted)
    found = proofs.lag_0_parity(run)
    assert found.passed is False and found.detail.startswith("update 0: ")


def test_parity_shows_without_any_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses of one token are all wrong: weights cannot tell the loops apart, measurements can."""
    run = RUNS[1].model_copy(update={"max_tokens": 1})
    monkeypatch.setattr(
        proofs, "generate", lambda trainer, update, groups: generate(trainer, update, groups[::-1].copy())
    )
    assert proofs.lag_0_parity(run).passed is False


def test_determinism_fails_if_a_cell_measured_something_else(copied: Path) -> None:
    run = next(run for run in RUNS if run.name == "asympo-in_flight-2-seed0")
    folder = copied / run.name
    assert proofs.determinism(run, folder).passed is True
    loss = store.read_lines(folder / store.METRICS)[1]["loss"]
    change_line(folder / store.METRICS, 1, loss=float(np.nextafter(loss, 1)))
    found = proofs.determinism(run, folder)
    assert found.passed is False and found.detail.startswith("update 1: loss is ")
    assert "LagBench's own code" not in found.detail
    held = store.read_json(folder / store.RUN)
    store.write_json(folder / store.RUN, held | {"code": held["code"] | {"harness": "f" * 16}})
    assert "; LagBench's own code has changed since: delete the cells" in proofs.determinism(run, folder).detail


def test_a_proof_that_breaks_down_is_a_failed_gate(copied: Path) -> None:
    run = RUNS[1]
    (copied / run.name / store.METRICS).write_text("torn")
    found = proofs.determinism(run, copied / run.name)
    assert found.passed is False and "metrics.jsonl, line 1: damaged" in found.detail


def test_a_trace_replays_for_another_objective_and_a_changed_one_is_refused(
    finished: tuple[Path, str], lagbench, tmp_path: Path
) -> None:
    cell = finished[0] / "asympo-in_flight-2-seed0"
    shutil.copy(cell / store.TRACE, tmp_path / "recorded.jsonl")
    command = ("run", "quick", "objectives=spo", "lags=trace:recorded.jsonl", "updates=4", *SMALL, "--results", "again")
    assert lagbench(*command).returncode == 0
    replayed = store.read_json(tmp_path / "again" / "spo-trace-recorded.jsonl-seed0" / store.RESULT)
    assert replayed["planned_lag_digest"] == store.read_json(cell / store.RESULT)["planned_lag_digest"]
    assert replayed["realized_lag_digest"] == replayed["planned_lag_digest"]
    change_line(tmp_path / "recorded.jsonl", 3, groups=[0, 1, 1, 2])
    ran = lagbench(*command)
    assert (
        ran.returncode == 2
        and "holds a cell with other settings (plan_digest: another plan, as of a trace)" in ran.stderr
    )


def test_beginnings_are_removed_when_all_is_finished(finished: tuple[Path, str]) -> None:
    assert not (finished[0] / store.BEGINNINGS).exists()
