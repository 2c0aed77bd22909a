"""A search for learning rates: own seeds and problems, one budget for all, chosen by value, resumed for nothing."""

import shutil
import subprocess
from pathlib import Path
from statistics import fmean

import pytest
from made_up_results import INPUTS

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.checksums import manifest_digest, verify_manifest
from lagbench.harness.config import Search, Suite, cell_name, digest_of, load_suite
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_tokenizer
from lagbench.harness.noise import prompt_order
from lagbench.harness.prompts import prompt_form
from lagbench.harness.record import read_record
from lagbench.harness.registry import load_task
from lagbench.harness.rollout.text import Codec
from lagbench.harness.sweep.cell import Execution
from lagbench.harness.sweep.claim import claim
from lagbench.harness.sweep.expand import cells, check
from lagbench.harness.sweep.provenance import inputs
from lagbench.harness.sweep.run import run_suite
from lagbench.harness.sweep.search import best_rate, choose, outcome, score, tuned

CHAIN = load_task("chain", {})
HOW = Execution("lagbench run tiny_search", workers=2, checkpoint_every_s=15.0)
SMALL = (
    *("objectives=policy_gradient,grpo", "lags=0", "seeds=0", "updates=2", "learning_rate=1e-3"),
    *("prompts_per_update=4", "responses_per_prompt=4", "eval_problems=8", "eval_samples=2"),
    *("search.learning_rates=1e-4,3e-3", "search.seeds=100", "search.problems=6", "search.lags=2"),
)  # none of the rates is the suite's own, so that one of them is always run once more
PARTS = ("search/lr-0.0001", "search/lr-0.003")


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_suite("tiny_search", SMALL)


@pytest.fixture(scope="module")
def finished(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "out"
    assert run_suite(suite, folder, HOW).unfinished == 0
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_every_part_is_a_results_folder(finished: Path, suite: Suite) -> None:
    chosen = store.read_json(finished / "search" / "chosen.json")
    assert names(finished) == {"base", "policy_gradient-constant-0-seed0", "grpo-constant-0-seed0", "search", "tuned"}
    assert names(finished / "search") == {"lr-0.0001", "lr-0.003"}
    for part in PARTS:
        folder = finished / part
        assert names(folder) == {"base", "policy_gradient-constant-2-seed100", "grpo-constant-2-seed100"}
        assert all((folder / cell / store.RESULT).exists() for cell in names(folder))
        assert not (folder / store.GATES).exists()  # no number of a search is reported
    by_rate: dict[str, set[str]] = {}
    for objective in suite.objectives:
        folder = finished / chosen["objectives"][objective]["folder"]
        by_rate.setdefault(folder.name, set()).add(objective)
        run = store.read_json(folder / f"{objective}-constant-0-seed0" / store.RUN)
        assert run["learning_rate"] == chosen["objectives"][objective]["learning_rate"] and run["validation"] == 0
        assert all(gate["passed"] for gate in store.read_json(folder / store.GATES)["gates"])
    assert names(finished / "tuned") == by_rate.keys()
    for name, objectives in by_rate.items():
        record = read_record(finished / "tuned" / name)
        assert record is not None and set(record.objectives) == objectives and record.baseline == "policy_gradient"
        assert record.seeds == (0,) and record.search is None
    main = read_record(finished)
    assert main is not None and main.search == suite.search
    digests = {read_record(finished / part).digest for part in (".", *PARTS, *(f"tuned/{name}" for name in by_rate))}
    assert len(digests) == 3 + len(by_rate)  # no two rates, and no search and table, can be put into one table


def test_rates_are_chosen_on_problems_that_nothing_else_sees(finished: Path) -> None:
    held_out = [problem.id for problem in CHAIN.train[-6:]]
    tested = [problem.id for problem in CHAIN.test[:8]]
    codec = Codec(load_tokenizer(locate("tiny")), CHAIN, prompt_form("plain"))
    for part in PARTS:
        for path in (finished / part).glob("*/attempts-*.jsonl"):
            assert [line["id"] for line in store.read_lines(path)] == held_out
        order = prompt_order(100, 2, 4, len(CHAIN.train) - 6)  # of these, the first, each update asks four
        asked = [digest_of([codec.encode(CHAIN.train[i]) for i in update]) for update in order]
        rows = store.read_lines(finished / part / "grpo-constant-2-seed100" / store.METRICS)
        assert [row["prompts"] for row in rows] == asked
    for folder in (finished, *(finished / "tuned").iterdir()):
        for path in folder.glob("*/attempts-*.jsonl"):
            assert [line["id"] for line in store.read_lines(path)] == tested


def test_the_choice_is_that_of_the_attempts(finished: Path) -> None:
    chosen = store.read_json(finished / "search" / "chosen.json")
    assert chosen["budget"] == {
        **{"learning_rates": [1e-4, 3e-3], "lags": ["constant:2"], "mismatch": ["none"], "seeds": [100]},
        **{"problems": 6, "updates": 2, "runs_per_objective": 2},
    }
    assert chosen["learning_rate"] == 1e-3 and chosen["unfinished"] == {}
    for objective, choice in chosen["objectives"].items():
        means = {}
        for part in PARTS:
            lines = store.read_lines(finished / part / f"{objective}-constant-2-seed100" / "attempts-2.jsonl")
            means[part] = fmean(attempt["verdict"]["correct"] for line in lines for attempt in line["attempts"])
        assert list(choice["scores"].values()) == pytest.approx(list(means.values())) and choice["runs"] == 2
        best = max(PARTS, key=lambda part: (means[part], part == "search/lr-0.003"))  # nearer to 1e-3 than 1e-4 is
        assert choice["folder"] == best.replace("search", "tuned")


def test_nothing_is_run_twice(finished: Path, suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> dict[str, object]:
        kept = {
            path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name in ("result.json", "gates.json")
        }
        return kept | {path: path.read_bytes() for path in finished.rglob(store.CHOSEN)}

    before = state()
    assert run_suite(suite, finished, HOW).unfinished == 0
    assert state() == before
    said = capsys.readouterr().err
    assert said.count("3 finished, 0 to run") >= 3 and "proving" not in said
    assert verify_manifest(finished, deep=True) == []


def test_checksums_hold_and_tell_what_has_been_changed(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "out"))
    parts = [folder, *(folder / "search").glob("lr-*"), *(folder / "tuned").glob("lr-*")]
    for part in parts:
        ran = subprocess.run(["sha256sum", "-c", "--strict", store.CHECKSUMS], cwd=part, capture_output=True, text=True)
        assert ran.returncode == 0 and ran.stdout.count(": OK") >= 8, ran.stdout
        assert manifest_digest(part)
    assert verify_manifest(folder, deep=True) == []
    metrics = folder / "search" / "lr-0.003" / "grpo-constant-2-seed100" / store.METRICS
    metrics.write_bytes(metrics.read_bytes().replace(b"0", b"1", 1))
    assert verify_manifest(folder) == []
    assert verify_manifest(folder, deep=True) == [
        "search/lr-0.003/grpo-constant-2-seed100/metrics.jsonl: not what the cell wrote"
    ]
    chosen = folder / "search" / store.CHOSEN
    chosen.write_text(chosen.read_text().replace("e", "E", 1))
    (folder / PARTS[0] / store.CHECKSUMS).unlink()
    assert verify_manifest(folder) == [
        "search/chosen.json: not what lagbench run left",
        "search/lr-0.0001/SHA256SUMS: missing",
    ]


def test_a_search_with_missing_runs_chooses_for_the_others(finished: Path, suite: Suite, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "out"))
    (folder / PARTS[0] / "grpo-constant-2-seed100" / store.RESULT).unlink()
    assert suite.search is not None
    found = choose(suite, suite.search, suite.objectives, folder)
    assert list(found["objectives"]) == ["policy_gradient"] and found["unfinished"] == {"grpo": 1}
    assert outcome(found)[1] == "not chosen: grpo: 1 of the 2 runs of its search have no score"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["seeds=0,100", "search.seeds=4"], None),
        (["seeds=3", "search.seeds=0"], "search.seeds holds 0, a seed of cells in"),
        (["search.problems=7"], r"search.problems=7, but .* was searched on 6"),
        (["baseline=grpo"], "baseline=grpo, but the tests of .* are against policy_gradient since its first command"),
    ],
)
def test_what_a_folder_does_not_take(
    finished: Path, tmp_path: Path, change: list[str], message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "out"))
    suite = load_suite("tiny_search", [*SMALL, *change])
    if message is None:
        claim(suite, cells(suite), inputs(suite.model, check(suite)), folder, HOW)
        return
    with pytest.raises(InputError, match=message):
        claim(suite, cells(suite), inputs(suite.model, check(suite)), folder, HOW)
    assert verify_manifest(folder, deep=True) == []  # nothing was touched


def write_scores(folder: Path, objective: str, rate: str, scores: list[float | None]) -> None:
    """Results of a search at lags 0 and 4 with seeds 8 and 9; None stands for a run that ended non-finite."""
    places = [(lag, seed) for lag in ("constant:0", "constant:4") for seed in (8, 9)]
    for (lag, seed), mean in zip(places, scores, strict=True):
        cell = folder / "search" / f"lr-{rate}" / cell_name(objective, lag, "none", seed)
        if mean is None:
            store.write_json(cell / store.FAILED, {"reason": "NonFinite: loss", "non_finite_update": 3})
        else:
            store.write_json(cell / store.RESULT, {"scores": {"pass@1": {"mean": mean}}})


def test_a_search_cell_of_other_code_has_no_score(tmp_path: Path) -> None:
    write_scores(tmp_path, "spo", "0.0001", [0.5] * 4)
    part = tmp_path / "search" / "lr-0.0001"
    suite = load_suite("quick", ["objectives=spo", "lags=0,4", "seeds=8,9"])
    record = claim(suite, cells(suite), INPUTS, part, HOW).record
    cell = part / cell_name("spo", "constant:4", "none", 9)
    assert score(cell, record) == 0.5
    held = store.read_json(cell / store.RUN)
    store.write_json(cell / store.RUN, held | {"code": held["code"] | {"objective spo": "f" * 16}})
    assert score(cell, record) is None
    assert score(cell, record.model_copy(update={"kept": (cell.name,)})) == 0.5


def test_the_highest_mean_wins(tmp_path: Path) -> None:
    """By hand: spo 0.30, 0.45, 0.40; grpo 0.5, 0.5, (0 + 3 x 0.9) / 4 = 0.675; tis ties, the suite's own wins."""
    made = {
        "spo": {"3e-05": [0.3] * 4, "0.0001": [0.4, 0.5, 0.4, 0.5], "0.0003": [0.1, 0.7, 0.1, 0.7]},
        "grpo": {"3e-05": [0.5] * 4, "0.0001": [0.5] * 4, "0.0003": [None, 0.9, 0.9, 0.9]},
        "tis": {"3e-05": [0.2] * 4, "0.0001": [0.1, 0.3, 0.1, 0.3], "0.0003": [None] * 4},
        "gspo": {"3e-05": [0.2] * 4, "0.0001": [0.1] * 4, "0.0003": [0.1] * 4},
    }
    for objective, by_rate in made.items():
        for rate, scores in by_rate.items():
            write_scores(tmp_path, objective, rate, scores)
    (tmp_path / "search" / "lr-3e-05" / "gspo-constant-4-seed9" / store.RESULT).unlink()
    store.write_json(
        tmp_path / "search" / "lr-3e-05" / "gspo-constant-4-seed8" / store.FAILED, {"reason": "killed by signal 9"}
    )
    (tmp_path / "search" / "lr-3e-05" / "gspo-constant-4-seed8" / store.RESULT).unlink()
    search = Search(learning_rates=(3e-5, 1e-4, 3e-4), seeds=(8, 9), lags=("0", "4"))
    suite = load_suite(
        "tiny", ["objectives=spo,grpo,tis,gspo", "learning_rate=1e-4", "hyperparameters.grpo.clip_low=0.1"]
    )
    found = choose(suite, search, ["spo", "grpo", "tis", "gspo"], tmp_path)
    assert found["objectives"] == {
        "spo": {"learning_rate": 1e-4, "folder": ".", "runs": 12,
                "scores": pytest.approx({"3e-05": 0.3, "0.0001": 0.45, "0.0003": 0.4})},
        "grpo": {"learning_rate": 3e-4, "folder": "tuned/lr-0.0003", "runs": 12,
                 "scores": pytest.approx({"3e-05": 0.5, "0.0001": 0.5, "0.0003": 0.675})},
        "tis": {"learning_rate": 1e-4, "folder": ".", "runs": 12,
                "scores": pytest.approx({"3e-05": 0.2, "0.0001": 0.2, "0.0003": 0.0})},
    }  # fmt: skip
    assert found["unfinished"] == {"gspo": 2} and found["budget"]["runs_per_objective"] == 12
    assert outcome(found) == [
        "chosen: spo 0.0001",
        "chosen: grpo 0.0003 (the highest tried)",
        "chosen: tis 0.0001",
        "not chosen: gspo: 2 of the 12 runs of its search have no score",
    ]
    again = tuned(suite, {name: choice["learning_rate"] for name, choice in found["objectives"].items()})
    assert {rate: one.objectives for rate, one in again.items()} == {3e-4: ("grpo",)}
    assert again[3e-4].hyperparameters == {"grpo": {"clip_low": 0.1}} and again[3e-4].seeds == suite.seeds
    assert tuned(suite, {"spo": 1e-5, "grpo": 3e-4, "tis": 1e-5}).keys() == {1e-5, 3e-4}


@pytest.mark.parametrize(
    ("means", "fixed", "best"),
    [
        ({1e-5: 0.1, 1e-4: 0.3, 1e-3: 0.2}, 1e-3, 1e-4),  # the highest, wherever
        ({1e-5: 0.3, 1e-4: 0.3, 1e-3: 0.3}, 1e-3, 1e-3),  # the suite's own, of equals
        ({1e-5: 0.3, 1e-4: 0.3, 1e-3: 0.1}, 1e-3, 1e-4),  # the nearest to it
        ({5e-5: 0.3, 2e-4: 0.3}, 1e-4, 5e-5),  # the smaller, of two as near by ratio
        ({1e-4: 0.1 + 0.2, 1e-3: 0.3}, 1e-3, 1e-3),  # a rounding error is no difference
    ],
)
def test_ties(means: dict[float, float], fixed: float, best: float) -> None:
    assert best_rate(means, fixed) == best
    assert best_rate(dict(reversed(means.items())), fixed) == best
