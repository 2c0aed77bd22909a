"""Suites from TOML and overrides; every mistake is one clear line."""

from pathlib import Path

import pytest

from lagbench import InputError
from lagbench.harness import store
from lagbench.harness.config import LATER, Run, identifying, load_suite, packaged_suites, validated
from lagbench.harness.record import suite_digest
from lagbench.harness.registry import OBJECTIVES
from lagbench.harness.sweep.cell import Execution
from lagbench.harness.sweep.claim import claim
from lagbench.harness.sweep.expand import cells, check, task_of
from lagbench.harness.sweep.provenance import inputs as inputs_of
from lagbench.harness.sweep.search import searched

HOW = Execution("lagbench run quick", workers=1, checkpoint_every_s=15.0)


def test_packaged_suites_are_valid() -> None:
    for name in packaged_suites():
        suite = load_suite(name)
        assert suite.name == name and suite.description
        assert len(cells(suite)) == 1 + len(suite.objectives) * len(suite.lags) * len(suite.seeds)
        assert suite.baseline == "policy_gradient" and suite.baseline in suite.objectives


def test_quick_and_tiny_are_as_promised() -> None:
    quick, tiny = load_suite("quick"), load_suite("tiny")
    assert len(quick.objectives) == 5 and quick.lags == ("0", "8", "32")
    assert len(quick.seeds) == 1 and quick.prompts_per_update * quick.responses_per_prompt == 256
    assert {"0", "4", "16", "64"} <= set(tiny.lags) and len(tiny.objectives) >= 10
    assert len(tiny.seeds) == 5 and tiny.updates > quick.updates
    check(quick)
    check(tiny)


def test_overrides() -> None:
    given = ["objectives=asympo,grpo", "lags=0,4", "seeds=[3, 4]", "updates=7", "hyperparameters.grpo.clip_high=0.3"]
    suite = load_suite("quick", given)
    assert suite.objectives == ("asympo", "grpo")
    assert suite.lags == ("0", "4") and cells(suite)[3].lag == "constant:4"
    assert suite.seeds == (3, 4) and suite.updates == 7
    runs = cells(suite)
    assert [run.name for run in runs[:3]] == ["base", "asympo-constant-0-seed3", "grpo-constant-0-seed3"]
    assert runs[2].hyperparameters == {"clip_low": 0.2, "clip_high": 0.3}
    assert runs[0].objective is None and runs[0].updates == 0
    assert load_suite("quick", ["lags=2", "objectives=spo"]).lags == ("2",)
    assert load_suite("quick", ["lag=trace:mine.jsonl"]).lags == ("trace:mine.jsonl",)


def test_own_suite_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('objectives = ["spo"]\nlags = ["constant:3"]\nupdates = 2\n')
    suite = load_suite(str(path))
    assert (suite.name, suite.lags, suite.updates) == ("mine", ("constant:3",), 2)
    path.write_text("objectives = [")
    with pytest.raises(InputError, match="not valid TOML"):
        load_suite(str(path))


def test_id_is_that_of_the_configuration() -> None:
    runs = cells(load_suite("quick"))
    assert len({run.id for run in runs}) == len(runs)
    again = validated(Run, runs[3].model_dump())
    assert again.id == runs[3].id
    assert validated(Run, runs[3].model_dump() | {"learning_rate": 2e-4}).id != runs[3].id


def test_label_tells_settings_apart_and_lets_grids_grow() -> None:
    label = load_suite("quick").label
    assert label == load_suite("quick", ["seeds=0,1", "objectives=spo", "lags=64"]).label
    assert label != load_suite("quick", ["learning_rate=3e-4"]).label
    assert label != load_suite("quick", ["hyperparameters.spo.neg_scale=0.1"]).label


def test_thresholds_of_the_verdict_change_no_cell(tmp_path: Path) -> None:
    """Same label, same ids; a folder takes the new thresholds over."""
    suites = [load_suite("quick", [f"collapse.window={window}"]) for window in (10, 20)]
    inputs = inputs_of("tiny", {"chain": task_of(suites[0])})
    assert suites[0].label == suites[1].label
    assert [run.id for run in cells(suites[0])] == [run.id for run in cells(suites[1])]
    assert suite_digest(suites[0].settings(), inputs) == suite_digest(suites[1].settings(), inputs)
    for suite in suites:
        claim(suite, cells(suite), inputs, tmp_path, HOW)
    held = store.read_json(tmp_path / "spo-constant-8-seed0" / store.RUN)
    assert held["collapse"]["window"] == 20
    assert store.read_json(tmp_path / store.SUITE)["collapse"]["window"] == 20
    other = load_suite("quick", ["aggregate=token_mean"])
    with pytest.raises(InputError, match=r"other settings \(aggregate\)"):
        claim(other, cells(other), inputs, tmp_path, HOW)


def test_ids_outlast_new_settings() -> None:
    """Of a cell of 2026, before `validation`: the id that its folder holds."""
    suite = load_suite("tiny", ["objectives=grpo", "lags=0", "seeds=0"])
    assert cells(suite)[1].id == "742cded5eab223dd"
    assert (
        load_suite("tiny").label
        == load_suite("tiny", ["validation=0"]).label
        != load_suite("tiny", ["validation=9"]).label
    )


def test_baseline_and_search_change_no_cell() -> None:
    suite = load_suite("quick")
    for override in ("baseline=spo", "search.learning_rates=1e-5,1e-4"):
        other = load_suite("quick", [override])
        assert other != suite and other.label == suite.label
        assert [run.id for run in cells(other)] == [run.id for run in cells(suite)]


def test_baseline_is_the_first_objective_unless_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('objectives = ["spo", "grpo"]\nlags = [3]\n')
    assert load_suite(str(path)).baseline == "spo"
    assert load_suite(str(path), ["objectives=asympo"]).baseline == "asympo"
    assert load_suite("quick", ["objectives=asympo"]).baseline == "policy_gradient"  # its cells may come later


def test_search() -> None:
    suite = load_suite("tiny_search", ["search.learning_rates=1e-5,1e-3", "search.seeds=7", "search.lags=4,periodic:2"])
    assert suite.search is not None and suite.search.lags == ("4", "periodic:2")
    tried = searched(suite)
    assert list(tried) == [1e-5, 1e-3]
    for rate, one in tried.items():
        assert one.learning_rate == rate and one.search is None and one.objectives == suite.objectives
        assert one.seeds == (7,) and one.lags == ("4", "periodic:2") and one.baseline == suite.baseline
        assert one.validation == one.eval_problems == 128
    assert searched(load_suite("tiny_search", ["search.lags=[]"]))[3e-5].lags == suite.lags
    assert searched(load_suite("quick", ["search.learning_rates=1e-5"]))[1e-5].seeds == (100, 101)
    assert searched(load_suite("quick")) == {}
    mixed = load_suite("tiny_search", ["mismatch=bf16,none"])
    assert searched(mixed)[3e-5].mismatch == ("none",)
    assert searched(load_suite("tiny_search", ["mismatch=bf16"]))[3e-5].mismatch == ("bf16",)


def test_train_problems_are_chosen_once() -> None:
    """So many different ones of all, in their order, the same for every seed; the test set stays."""
    whole = task_of(load_suite("quick"))
    few = task_of(load_suite("quick", ["train_problems=100"]))
    places = [list(whole.train).index(problem) for problem in few.train]
    assert len(set(places)) == 100 and places == sorted(places) and max(places) - min(places) > 3000
    assert few.test == whole.test
    assert few.train == task_of(load_suite("quick", ["train_problems=100", "seeds=7"])).train
    validated = task_of(load_suite("quick", ["train_problems=100", "validation=10"]))
    assert (validated.train, validated.test) == (few.train[:90], few.train[90:])


def test_validation_problems_are_training_problems() -> None:
    whole = task_of(load_suite("quick"))
    cut = task_of(load_suite("quick", ["validation=30"]))
    assert list(cut.train) == list(whole.train[:-30]) and list(cut.test) == list(whole.train[-30:])
    assert (cut.prompt, cut.stops, cut.extract, cut.answers) == (
        whole.prompt,
        whole.stops,
        whole.extract,
        whole.answers,
    )
    task_of(load_suite("quick", ["validation=3456"]))  # leaves 32, as many as an update asks


def test_keys_that_came_later_or_say_where_cells_run_identify_nothing() -> None:
    known = identifying(load_suite("quick").model_dump())
    assert not known.keys() & {*LATER, "executor", "address"} and {"updates", "learning_rate"} < known.keys()
    assert identifying(load_suite("quick", ["sampler=vllm"]).model_dump()) == known | {"sampler": "vllm"}


def test_all_objectives() -> None:
    assert load_suite("quick", ["objectives=all"]).objectives == tuple(OBJECTIVES.all())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("updats=3", "unknown key 'updats' .did you mean 'updates'"),
        ("updates=many", "updates='many' is not valid: .*integer"),
        ("updates=-1", "updates=-1 is not valid"),
        ("temperature=0", "temperature=0 is not valid"),
        ("prompt=fancy", "prompt='fancy' is not valid"),
        ("lags=", "unknown lag schedule ''; `lagbench lag list` explains all"),
        ("lags=burst:4", "lag schedule 'burst:4': burst: 'drain' is missing; expected burst:stall,drain"),
        ("lags=areal:4,skyrl:4", "lags holds areal:4 and skyrl:4, which are the same"),
        ("lags=-1", "unknown lag schedule '-1'"),
        ("lags=1.5", "unknown lag schedule '1.5'"),
        ("lags=burst:16,16,unifrom:0-16", "unknown lag schedule 'unifrom:0-16' .did you mean 'uniform'"),
        ("lags=areal:4,2", "put semicolons between lags, as in 'areal:4;2' or 'areal:4,2;'"),
        ("mismatch=1", "unknown mismatch '1'"),
        ("mismatch=none,none", "mismatch holds none twice$"),
        ("mismatch=top_p", "mismatch 'top_p': '' is not a number between 0 and 1"),
        ("mismatch=logit_nois:1", "unknown mismatch 'logit_nois:1' .did you mean 'logit_noise'"),
        ("mismatch=bf16:3", "bf16 takes no value"),
        ("objectives=asymppo", "unknown objective 'asymppo' .did you mean 'asympo'"),
        ("lags=constnat:3", "unknown lag schedule 'constnat:3' .did you mean 'constant'"),
        ("task=chian", "unknown task 'chian' .did you mean 'chain'"),
        ("data=somewhere", "chain has no option 'data'"),
        ("advantage=group_men", "did you mean 'group_mean'"),
        ("advantage=opmd:0", "advantage='opmd:0' is not valid: only asymre takes a number"),
        ("advantage=group_mean:3", "advantage='group_mean:3' is not valid"),
        ("aggregate=mean", "aggregate='mean' is unknown"),
        ("denominator=sum", "denominator='sum' is not valid"),
        ("collapse.windw=3", "unknown key 'collapse.windw' .did you mean 'collapse.window'.*`lagbench list collapse`"),
        ("collapse=3", "collapse=3 is not valid: expected collapse.NAME=value"),
        ("collapse.window=0", "collapse.window=0 is not valid"),
        ("hyperparameters.decoupled_ppo.weight_cap=0", "decoupled_ppo: weight_cap=0 is not valid"),
        ("eval_problems=9999", "task chain holds 512 test problems"),
        ("model=no/such/folder", "model=no/such/folder: no such folder"),
        ("prompt=chat", "the model has no chat template"),
        ("hyperparameters.spo.neg_scal=1", "spo has no option 'neg_scal' .did you mean 'neg_scale'"),
        ("hyperparameters.sop.neg_scale=1", "the suite has no objective 'sop' .did you mean 'spo'"),
        ("baseline=sop", "unknown objective 'sop' .did you mean 'spo'"),
        ("validation=3457", "=3457 leaves 31 of 3488 problems of task chain to train on, but an update asks 32"),
        ("validation=-1", "validation=-1 is not valid"),
        ("train_problems=31", "train_problems=31: expected 32, what one update asks, to 3488, what task chain has"),
        ("train_problems=3489", "train_problems=3489: expected 32, what one update asks, to 3488"),
        ("search=3", "search=3 is not valid: expected search.NAME=value, as in search.learning_rates=3e-5,1e-4"),
        ("search.seeds=7", "'search.learning_rates' is missing"),
        ("search.seds=7", "unknown key 'search.seds' .did you mean 'search.seeds'.*; expected search.learning_rates, "),
        ("search.learning_rates=0", "search.learning_rates.0=0 is not valid"),
        ("updates", "'updates' is not an override"),
        ("updates.x=1", "is not a table"),
    ],
)
def test_mistakes(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        suite = load_suite("quick", [override])
        cells(suite)
        check(suite)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.seeds=100,2", "search.seeds holds 2, a seed of the suite: learning rates are chosen on others"),
        ("seeds=0,101", "search.seeds holds 101, a seed of the suite"),
        ("search.seeds=5,5", "search.seeds holds 5 twice"),
        ("search.learning_rates=1e-4,0.0001", "search.learning_rates holds 0.0001 twice"),
        ("search.lags=0,sync", "search.lags holds 0 and sync, which are the same"),
        ("search.problems=1", "search.problems=1 is not valid"),
        ("validation=8", "a search sets it by search.problems; leave it out"),
        ("search.problems=3460", "search.problems=3460 leaves 28 of 3488 problems of task chain to train on"),
        ("search.lags=burst:4", "burst: 'drain' is missing"),
    ],
)
def test_mistakes_in_a_search(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        check(next(iter(searched(load_suite("tiny_search", [override])).values())))
    assert "\n" not in str(error.value)


def test_validation_has_no_other_exams() -> None:
    with pytest.raises(InputError, match="validation=8 evaluates on training problems of chain; leave eval_tasks out"):
        check(load_suite("quick", ["validation=8", "eval_problems=8", "eval_tasks=chain"]))
