"""Results folders, read: every cell with what a comparison needs, each of its files read once.

A big folder is read by several processes; what they send back is small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import store
from ..checksums import manifest_digest, map_cells
from ..config import CollapseRules
from ..evaluate.collapse import Collapse, find_collapse
from ..gate import PARITY, Gate
from ..record import SuiteRecord, folded, read_record
from ..statistics.intervals import Estimate
from ..types import InputError
from .document import State
from .evidence import Evidence, evidence

MEASURES = (  # of updates, for curves and means
    "reward", "nll", "nll_positive", "nll_negative", "nll_ratio", "entropy", "ess_token", "ess_sequence", "kl_k1",
    "kl_k3", "ratio_p99", "removed_positive", "removed_negative", "gradient_norm", "gradient_cosine", "response_tokens",
    "truncated_fraction", "engine_gap_mean", "balance", "contribution_ratio",
)  # fmt: skip


@dataclass(frozen=True)
class Axes:
    """Where a cell stands in the grid. The base model has no objective."""

    objective: str | None
    lag: str  # in canonical spelling
    mismatch: str
    seed: int


@dataclass(frozen=True)
class Cell:
    """One cell as its folder tells it. Without scores it has failed, or has not finished, or was never begun."""

    name: str
    source: str  # the results folder's name
    axes: Axes
    run: Mapping[str, Any]  # configuration and digests of what it reads; empty of a missing one
    rules: CollapseRules
    scores: Mapping[str, Estimate] = field(default_factory=dict)  # of the final version on the first exam
    evaluations: Sequence[Mapping[str, Any]] = ()
    failure: str = ""
    non_finite: bool = False  # the objective's own failure, which counts
    realized_lag: tuple[float, float] | None = None  # mean and largest of the tokens trained on, in updates
    collapse_in_training: Collapse | None = None
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)  # by name, [updates]
    tokens: np.ndarray = field(default_factory=lambda: np.zeros(0))  # [updates], generated for each
    seconds: float = 0.0  # of generation and learning
    weights_digest: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    evidence: Evidence | None = None
    equal_rewards: bool = False  # in every group of every update
    changed: Sequence[str] = ()  # of the code that has made it, what is another now; its result counts only if kept

    @property
    def state(self) -> State:
        if self.scores:
            return "finished"
        if self.changed:
            return "stale"
        return "failed" if self.failure else "unfinished" if self.run else "missing"

    def collapse(self, base: float | None) -> Collapse | None:
        """That of the training, or else that the final score is too far below the base model's pass@1."""
        if self.collapse_in_training or not self.scores or base is None:
            return self.collapse_in_training
        score, limit = self.scores["pass@1"].mean, self.rules.score_of_base * base
        return Collapse("score", self.run["updates"], score, limit) if score < limit else None


@dataclass(frozen=True)
class Choice:
    """A learning rate for one objective. `cells` were trained at it; None: the suite's own cells were."""

    learning_rate: float
    scores: Mapping[str, float]  # mean pass@1 in the search, by rate
    cells: Sequence[Cell] | None


@dataclass(frozen=True)
class Tuning:
    """What a search for learning rates has come to."""

    budget: Mapping[str, Any]  # the same for all objectives
    chosen: Mapping[str, Choice]  # by objective
    unfinished: Sequence[str]  # objectives that nothing could be chosen for yet
    proofs: Mapping[str, Sequence[Gate] | None]  # by results folder of tuned cells, gates run with them


@dataclass(frozen=True)
class Results:
    """What one suite has measured so far: the content of a results folder, or of several that fit together."""

    name: str
    suite: SuiteRecord
    cells: Sequence[Cell]
    proofs: Sequence[Sequence[Gate] | None]  # of each folder, gates run with the suite; None: not yet
    folders: Mapping[str, Path]  # by the name that its cells know as their source
    checksums: Mapping[str, str | None]  # of each folder, the digest of its manifest; None: it has none
    tuning: Tuning | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)  # of folders, on what was not taken from them
    elsewhere: str = ""  # what else its folder holds, where this is a part of it

    @property
    def base(self) -> Cell | None:
        return next((cell for cell in self.cells if cell.axes.objective is None), None)

    @property
    def tuned(self) -> list[Cell]:
        """Cells trained at a learning rate that the search found."""
        chosen = self.tuning.chosen.values() if self.tuning else ()
        return [cell for choice in chosen for cell in choice.cells or ()]

    @property
    def trained(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.axes.objective is not None]


def read_results(folder: Path, name: str) -> Results:
    """What a results folder holds, as `name`; an InputError in one line if it is none, or not of this version."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected the results folder that `lagbench run` printed")
    paths = sorted(path.parent for path in folder.glob(f"*/{store.RUN}"))
    if not paths:
        raise InputError(f"{folder} holds no cells (*/{store.RUN}); expected the folder that `lagbench run` printed")
    suite = read_record(folder)
    if suite is None and any(folder.glob(f"*/{store.LIVE_RULES}")):
        raise InputError(
            f"{folder} holds cells of `lagbench live`; to report one, replay its trace: "
            f"lagbench run SUITE lags=trace:{folder}/CELL/{store.TRACE}"
        )
    if suite is None:
        raise InputError(f"{folder} holds no {store.SUITE}; give the `lagbench run` that made it once more, it goes on")
    read = partial(read_cell, source=name, rules=suite.collapse)
    found = {cell.name: _counted(cell, suite) for cell in map_cells(read, paths)}
    given = {"command": _last_command(folder)}  # that will make what no run has begun
    missing = [
        Cell(cell, name, axes, {}, suite.collapse, environment=given)
        for cell, axes in _planned(suite)
        if cell not in found
    ]
    cells = (cell if cell.environment else replace(cell, environment=given) for cell in found.values())
    return Results(name, suite, (*cells, *missing), (_proofs(folder),), {name: folder}, {name: manifest_digest(folder)})


def _planned(suite: SuiteRecord) -> Iterator[tuple[str, Axes]]:
    """Names and places of the planned cells."""
    return ((place.name, Axes(*place[1:])) for place in suite.places())


def _counted(cell: Cell, suite: SuiteRecord) -> Cell:
    """The cell, marked where other code has made it than counts in its folder; without all else unless it is kept."""
    changed = suite.changed_since(cell.run)
    if not changed or not (cell.scores or cell.failure):
        return cell
    if cell.name in suite.kept and cell.scores:
        return replace(cell, changed=changed)
    return Cell(cell.name, cell.source, cell.axes, {}, cell.rules, environment=cell.environment, changed=changed)


def _last_command(folder: Path) -> str:
    commands = store.read_lines(folder / store.COMMANDS)
    last = commands[-1] if commands else None
    return str(last.get("command", "")) if isinstance(last, dict) else ""


def _proofs(folder: Path) -> Sequence[Gate] | None:
    """The gates that were run with the suite; None if none were yet."""
    held = store.read_json(folder / store.GATES)
    try:
        return None if held is None else [Gate(**gate) for gate in held["gates"]]
    except (KeyError, TypeError):
        damaged = f"{folder / store.GATES} is damaged; delete it and run the suite again"
        return [Gate(PARITY, False, damaged)]


def read_cell(folder: Path, source: str, rules: CollapseRules) -> Cell:
    """A cell from its folder; `source` names the results folder that it is in, `rules` say when it has collapsed."""
    run, result = store.read_json(folder / store.RUN), store.read_json(folder / store.RESULT)
    failed = None if result else store.read_json(folder / store.FAILED)
    try:
        axes = Axes(run["objective"], folded(run["lag"]), run["mismatch"], run["seed"])
        cell = Cell(
            folder.name, source, axes, run, rules, environment=store.read_json(folder / store.ENVIRONMENT) or {}
        )
        if not (result or failed):
            return cell
        rows = store.read_lines(folder / store.METRICS)
        cell = replace(
            cell,
            collapse_in_training=find_collapse(rows, rules),
            measures={name: _column(rows, name) for name in MEASURES},
            tokens=_column(rows, "response_tokens") * run["prompts_per_update"] * run["responses_per_prompt"],
            seconds=sum(row["generate_s"] + row["learn_s"] for row in rows),
        )
        if failed:
            return _failed(cell, failed)
        return replace(
            cell,
            scores={name: Estimate(**value) for name, value in result["scores"].items()},
            evaluations=[found | {"exam": found["exam"].partition(":")[0]} for found in result["evaluations"]],
            realized_lag=(result["lag_mean"], result["lag_max"]),
            weights_digest=result["weights_digest"],
            evidence=evidence(folder, run, result, rows) if axes.objective and run["updates"] else None,
            equal_rewards=bool(rows) and all(row.get("zero_variance_fraction") == 1 for row in rows),
        )
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{folder} is not of this version of lagbench ({_first(error)}); run the suite again"
        ) from None


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else error!r}"


def _failed(cell: Cell, failed: Mapping[str, Any]) -> Cell:
    update = failed.get("non_finite_update")
    collapse = cell.collapse_in_training
    if collapse is None and update is not None:
        collapse = Collapse("non_finite", update)
    return replace(cell, failure=plain(failed["reason"]), non_finite=update is not None, collapse_in_training=collapse)


def plain(text: str) -> str:
    """What a model or a machine wrote, without the half characters that no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """One measurement of every update; nan where an update has none."""
    return np.array([np.nan if row.get(name) is None else row[name] for row in rows], float)
