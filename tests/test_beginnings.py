"""What the initial policy draws is shared between cells, and nothing else is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lagbench.harness.learn.loop import generate, train
from lagbench.harness.registry import OBJECTIVES, load_task
from lagbench.harness.sweep import beginnings as module
from lagbench.harness.sweep.beginnings import Beginnings
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.verify import Verifier

CHAIN = load_task("chain", {})


def trained(settings, folder: Path, shared: Path | None) -> str:
    folder.mkdir()
    trainer = assemble_trainer(settings, CHAIN, Verifier(CHAIN), shared and Beginnings.of(settings, shared))
    list(train(trainer, OBJECTIVES.get(settings.objective), folder))
    return trainer.policy.digest()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("lag", ["constant:2", "in_flight:3,2"])
def test_shared_beginnings_change_no_bit(run, tmp_path: Path, lag: str) -> None:
    shared = tmp_path / "shared"
    alone = trained(run(lag=lag), tmp_path / "alone", None)
    assert trained(run(lag=lag), tmp_path / "first", shared) == alone
    written = {path: path.stat().st_mtime_ns for path in shared.iterdir()}
    assert trained(run(lag=lag), tmp_path / "second", shared) == alone
    assert {path: path.stat().st_mtime_ns for path in shared.iterdir()} == written
    assert len(written) == (3 if lag == "constant:2" else 4)  # one for each update that version 0 begins


def test_another_objective_reads_them_and_another_seed_or_temperature_does_not(run, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    trained(run(lag="constant:2"), tmp_path / "a", shared)
    first = names(shared)
    trained(run(lag="constant:2", objective="grpo"), tmp_path / "b", shared)
    assert names(shared) == first
    trained(run(lag="constant:2", seed=1), tmp_path / "c", shared)
    trained(run(lag="constant:2", temperature=0.9), tmp_path / "d", shared)
    trained(run(lag="constant:2", mismatch="top_p:0.9"), tmp_path / "e", shared)
    assert len(names(shared)) == 4 * len(first)


def test_they_are_read(run, tmp_path: Path) -> None:
    settings = run()
    trainer = assemble_trainer(settings, CHAIN, Verifier(CHAIN), Beginnings.of(settings, tmp_path))
    drawn = generate(trainer, 0, np.arange(4))

    class Refusing:
        def sample(self, *arguments):
            raise AssertionError("drawn again")

    sharing = replace(trainer.sampler, sampler=Refusing())
    again = generate(replace(trainer, sampler=sharing), 0, np.arange(4))
    assert again.prompts == drawn.prompts
    for name in ("tokens", "mask", "behavior_logprobs", "versions", "stopped"):
        assert torch.equal(getattr(again, name), getattr(drawn, name))
    trainer.policy.version = 1
    with pytest.raises(AssertionError, match="drawn again"):
        generate(replace(trainer, sampler=sharing), 0, np.arange(4))


def test_damaged_ones_are_made_again(run, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    whole = trained(run(), tmp_path / "a", shared)
    for path in shared.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert trained(run(), tmp_path / "b", shared) == whole


def test_the_folder_is_bounded(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 4000)
    trained(run(lag="constant:4"), tmp_path / "a", tmp_path / "shared")
    kept = list((tmp_path / "shared").iterdir())
    assert 1 <= len(kept) < 5


def test_lengths_are_measured_once_and_order_the_lags(run, tmp_path: Path) -> None:
    settings = run(lag="heavy_tail_by_length", updates=8, prompts_per_update=16)

    def plan():
        shared = Beginnings.of(settings, tmp_path)
        return assemble_trainer(settings, CHAIN, Verifier(CHAIN), shared)

    first = plan()
    (path,) = tmp_path.iterdir()
    lengths = torch.load(path, weights_only=True).numpy()
    assert lengths.shape == (8, 16) and len(np.unique(lengths)) > 8 and (lengths >= 1).all()
    lag = first.plan.lag[-1]
    assert (np.diff(lag[np.argsort(lengths[-1], kind="stable")]) >= 0).all() and lag.max() > lag.min()
    written = path.stat().st_mtime_ns
    assert plan().plan.digest == first.plan.digest and path.stat().st_mtime_ns == written


def test_two_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    def write(start: int) -> None:
        shared = Beginnings(tmp_path, "same")
        for i in range(300):
            assert shared(lambda: {"value": torch.ones(50)}, (start + i) % 400)["value"].sum() == 50

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, 400, 100)))


def test_without_room_nothing_is_kept_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of the folder")
    shared = Beginnings(tmp_path / "file" / "beginnings", "same")
    assert shared(lambda: {"value": torch.ones(1)}, 1)["value"] == 1
