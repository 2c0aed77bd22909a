"""A run's evaluation: any tasks, at chosen versions, on the same draws, and none of it touches the training."""

import json
from pathlib import Path

import pytest

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.config import CollapseRules, Run, load_suite
from lagbench.harness.report.evaluations import evaluations
from lagbench.harness.report.results import read_cell
from lagbench.harness.sweep.cell import Execution, run_cell
from lagbench.harness.sweep.expand import cells, check

HOW = Execution("a test", 1, 0.0)
SUMS = [("1+1+1=", "3"), ("2+3-1=", "4"), ("9-9+5=", "5")]


@pytest.fixture
def sums(tmp_path: Path) -> str:
    path = tmp_path / "sums.jsonl"
    rows = [{"problem": problem, "answer": answer, "level": i % 2} for i, (problem, answer) in enumerate(SUMS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"jsonl:{path}"


def carried_out(run: Run, folder: Path) -> dict:
    store.write_json(folder / store.RUN, run.model_dump(mode="json"))
    run_cell(run, folder, HOW, lambda update: None)
    result = store.read_json(folder / store.RESULT)
    assert result, store.read_json(folder / store.FAILED)
    return result


def tried(folder: Path, version: int) -> list[dict]:
    return store.read_lines(folder / store.attempts_file(version))


def test_checkpoints_are_compared_on_the_same_draws(run, tmp_path: Path) -> None:
    """Version 0 of a run answers as the base model does; evaluating on the way changes neither weights nor the end."""
    on_the_way, only_at_the_end = run(updates=3, eval_at=(0, 2)), run(updates=3)
    found = carried_out(on_the_way, tmp_path / "a")
    plain = carried_out(only_at_the_end, tmp_path / "b")
    base = carried_out(run(objective=None, updates=0), tmp_path / "base")
    assert tried(tmp_path / "a", 0) == tried(tmp_path / "base", 0) != tried(tmp_path / "a", 3)
    assert tried(tmp_path / "a", 3) == tried(tmp_path / "b", 3)
    assert found["weights_digest"] == plain["weights_digest"] and found["scores"] == plain["scores"]
    assert [e["version"] for e in found["evaluations"]] == [0, 2, 3]
    assert found["evaluations"][0]["scores"] == base["scores"]
    rows = list(evaluations([read_cell(tmp_path / name, "", CollapseRules()) for name in ("a", "b", "base")]))
    assert [(row["objective"], row["version"]) for row in rows] == [
        ("policy_gradient", 0), ("policy_gradient", 2), ("policy_gradient", 3), ("policy_gradient", 3), (None, 0)
    ]  # fmt: skip
    assert rows[-1]["pass@1"] == base["scores"]["pass@1"]["mean"] and rows[-1]["exam"] == "chain"


def test_several_tasks(run, tmp_path: Path, sums: str) -> None:
    """The first of them gives the scores of the table; a problem has the same draws whatever else is evaluated."""
    found = carried_out(run(updates=2, eval_tasks=(sums, "chain"), eval_at=(1,), prompt="question"), tmp_path / "a")
    alone = carried_out(run(updates=2, prompt="question"), tmp_path / "b")
    assert [(e["version"], e["exam"]) for e in found["evaluations"]] == [
        (1, sums), (1, "chain"), (2, sums), (2, "chain")
    ]  # fmt: skip
    assert found["scores"] == found["evaluations"][2]["scores"]
    assert [e["problems"] for e in found["evaluations"]] == [3, 4, 3, 4]
    assert found["evaluations"][3]["scores"] == alone["scores"]
    levels = found["evaluations"][2]["by_level"]
    assert [levels[name]["problems"] for name in ("0", "1")] == [2, 1] and alone["evaluations"][0]["by_level"] == {}
    lines = tried(tmp_path / "a", 2)
    assert [line["exam"] for line in lines] == [sums] * 3 + ["chain"] * 4
    assert set(lines[-1]["attempts"][0]) == {"text", "tokens", "stopped", "verdict", "cluster"}
    assert set(lines[-1]["attempts"][0]["verdict"]) == {"correct", "answer", "method"}


@pytest.mark.parametrize("died_at", [1, 2, 3])
def test_an_interrupted_run_makes_up_for_the_evaluation_it_missed(run, tmp_path: Path, died_at: int) -> None:
    settings = run(updates=4, eval_at=(0, 1, 2, 3))

    def die(update: int) -> None:
        if update == died_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cell(settings, tmp_path / "cut", HOW, die)
    done = {path.name for path in (tmp_path / "cut").glob("attempts-*")}
    assert done == {store.attempts_file(version) for version in range(died_at)}
    whole, cut = carried_out(settings, tmp_path / "whole"), carried_out(settings, tmp_path / "cut")
    assert cut["evaluations"] == whole["evaluations"] and cut["weights_digest"] == whole["weights_digest"]
    for version in range(5):
        assert tried(tmp_path / "cut", version) == tried(tmp_path / "whole", version)


def test_same_answers_share_a_cluster(run, tmp_path: Path) -> None:
    carried_out(run(objective=None, updates=0, eval_samples=16), tmp_path)
    for line in tried(tmp_path, 0):
        answers = [(attempt["verdict"]["answer"], attempt["cluster"]) for attempt in line["attempts"]]
        assert all((a is None) == (c == -1) for a, c in answers)
        numbers = [(int(a), c) for a, c in answers if a is not None and a.lstrip("-").isdigit()]
        assert all((a == b) == (c == d) for a, c in numbers for b, d in numbers)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("eval_at=0,101", "eval_at=101 comes after the last version, 100"),
        ("eval_at=-1", "eval_at.0=-1 is not valid"),
        ("eval_tasks=chain,chain", "eval_tasks holds chain twice"),
        ("eval_tasks=chian", "unknown task 'chian' (did you mean 'chain'?)"),
        ("eval_tasks=jsonl:missing.jsonl", "missing.jsonl"),
        ("eval_at=2,2", "eval_at holds 2 twice"),
        ("eval_samples=1001", "eval_samples=1001 is not valid"),
        ("eval_problems=600", "eval_problems=600, but task chain holds 512 test problems"),
    ],
)
def test_wrong_input(override: str, message: str) -> None:
    with pytest.raises(InputError) as told:
        check(load_suite("quick", [override]))
    assert message in str(told.value)


def test_the_smaller_of_several_sets_is_taken_whole(sums: str) -> None:
    suite = load_suite("quick", [f"eval_tasks={sums},chain", "eval_problems=100", "prompt=question"])
    assert list(check(suite)) == ["chain", sums]
    with pytest.raises(InputError, match="holds 3 test problems"):
        check(load_suite("quick", [f"eval_tasks={sums}", "eval_problems=100"]))
    assert all(cell.eval_tasks == (sums, "chain") for cell in cells(suite))


def test_progress_of_a_whole_suite(tmp_path: Path, lagbench, sums: str) -> None:
    """Through the command line: the report holds every evaluation, the table those of the first task."""
    ran = lagbench(
        *(
            "run",
            "quick",
            "objectives=grpo",
            "baseline=grpo",
            "lags=0",
            "updates=2",
            "prompts_per_update=4",
            "responses_per_prompt=4",
        ),
        *(
            "eval_problems=8",
            "eval_samples=4",
            f"eval_tasks=chain,{sums}",
            "eval_at=0,1",
            "prompt=question",
            "--results",
            "out",
        ),
    )
    assert ran.returncode == 0, ran.stderr
    lines = (tmp_path / "out" / "report" / "evaluations.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 + 6 and lines[0].startswith("objective,lag,mismatch,seed,version,exam,problems,samples")
    run = store.read_json(tmp_path / "out" / "base" / "run.json")
    assert run["data_rows"][sums] == {"train": 0, "test": 3} and run["prompt"] == "question@1"
