"""Version records of other RL systems as a plan, so that the lag of a run elsewhere can be carried out here.

The input is JSON Lines: one object per response, in the order in which the system's trainer consumed them. An update
takes groups * responses of them in a row, a group `responses` of those. `IMPORTERS` holds one small function per system
that reads an object in the system's own unit; all the rest is shared.

Which update a response was trained in is its place in the file. Which version the trainer held at the first one is
recorded nowhere, so the newest version of the first update becomes version 0 of the plan. That is exact where the file
begins with the run, for all of these systems, whatever they count from (TRL counts from 1): there is one version then.
A file from the middle of a run has to begin at a weight sync. It gives lags relative to the freshest response of its
first update: older versions than that become version 0, and a lag that all of this update shares does not show. No
offset is guessed from later updates, as that would hide wrong groups, responses or updates_per_version, which show as
versions from the future.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.rows import shown
from ..registry import did_you_mean
from ..types import InputError
from .json_lines import is_whole, objects
from .plan import END, LagPlan

VersionRun = tuple[int, int | None]  # a version in the system's own unit and the tokens it drew, None: not recorded
Number = Fraction | int


@dataclass(frozen=True)
class Imported:
    """A plan, and what was simplified to get it, counted."""

    plan: LagPlan
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """What a system wrote about one response: runs in token order, their versions never falling.

    The lengths of all runs are known, the last one's perhaps not, or none is. `newest` is the field that holds the last
    version. `ends_only` says that the first and last version were recorded and the runs between them made up.
    """

    runs: tuple[VersionRun, ...]
    newest: str
    ends_only: bool = False

    @property
    def lengths(self) -> list[int]:
        return [length for _, length in self.runs if length is not None]

    def positions(self, scale: Number = 1) -> list[int]:
        """The tokens at which later versions take over, scaled and rounded down; never token 0."""
        return [max(1, math.floor(token * scale)) for token in itertools.accumulate(self.lengths[: len(self.runs) - 1])]


class Response(NamedTuple):
    """A response in versions of the plan: what begins it, and (token, version) of what takes over."""

    source: int
    switches: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Clock:
    """From a system's versions to the plan's, in which version v is the policy after v updates."""

    base: int  # version 0 of the plan
    updates_per_version: Fraction

    def updates(self, version: int) -> Fraction:
        """Updates between `base` and a version; below 0 for an older one."""
        return (version - self.base) * self.updates_per_version

    def version(self, version: int) -> int:
        """The version of the plan: whole updates, rounded down, and not below 0."""
        return max(0, math.floor(self.updates(version)))

    def newest(self, update: int) -> int:
        """The newest of the system's versions that an update can train on."""
        return self.base + math.ceil((update + 1) / self.updates_per_version) - 1


def import_trace(
    system: str,
    file: str | Path,
    *,
    groups: int,
    responses: int,
    updates_per_version: Number = 1,
    tokens: int | None = None,
) -> Imported:
    """The plan of a run of another system, its name in `IMPORTERS`.

    `updates_per_version` converts the system's unit to optimizer updates; versions between two updates are rounded
    down. All responses of a group share its versions in a plan: those of the response with the oldest first version,
    of several the one that spans most versions, of several the first in the file. An incomplete last update is left
    out. With `tokens`, the tokens at which versions switch are scaled so that the file's longest response has that
    many, and rounded down. Of switches that fall together the latest version stands. A switch that falls on token 0
    moves to token 1: the version that begins a response draws its first token at least, so lag stays what it was.

    An InputError names the file, the line and the field that is wrong.
    """
    if system not in IMPORTERS:
        raise InputError(f"unknown system {system!r}{did_you_mean(system, IMPORTERS)}; expected {', '.join(IMPORTERS)}")
    given = {"groups": groups, "responses": responses, "updates_per_version": updates_per_version, "tokens": tokens}
    for name, value in given.items():
        if value is not None and value <= 0:
            raise InputError(f"{name}={value}: expected a number above 0")
    path, size = Path(file), groups * responses
    records = _read(path, IMPORTERS[system])
    updates = len(records) // size
    if not updates:
        raise InputError(
            f"trace {path} has {len(records)} responses, an update {size} (groups={groups}, responses={responses}); "
            "expected one update at least"
        )
    used = records[: updates * size]
    clock = Clock(max(record.runs[-1][0] for record in used[:size]), Fraction(updates_per_version))
    _check_past(path, used, size, clock)
    longest = max((sum(record.lengths) for record in records), default=0)
    scale = Fraction(tokens, longest) if tokens and longest else Fraction(1)
    drawn = [_converted(record, clock, scale) for record in used]
    parted = [drawn[i : i + responses] for i in range(0, len(drawn), responses)]
    plan = _plan(f"{path.stem} ({system})", [min(group, key=_oldest) for group in parted], groups)
    remarks = itertools.chain(
        _cut(len(records), size), _converting(used, clock), _grouping(parted), _scaling(used, scale, tokens, longest)
    )
    return Imported(plan, tuple(remarks))


def _oldest(response: Response) -> tuple[int, int]:
    """The least has the oldest first version, and of those the longest span."""
    last = response.switches[-1][1] if response.switches else response.source
    return response.source, -last


def _plan(name: str, chosen: list[Response], groups: int) -> LagPlan:
    source = np.array([response.source for response in chosen], np.int32).reshape(-1, groups)
    switches = [(*divmod(i, groups), *switch) for i, response in enumerate(chosen) for switch in response.switches]
    return LagPlan(name, source, np.array(switches, np.int32).reshape(-1, 4))


def _converted(record: Record, clock: Clock, scale: Fraction) -> Response:
    versions = [clock.version(version) for version, _ in record.runs]
    taken_over = dict(zip(record.positions(scale), versions[1:], strict=False))  # of one token the latest version
    before = itertools.chain(versions[:1], taken_over.values())
    switches = zip(taken_over.items(), before, strict=False)
    return Response(versions[0], tuple(switch for switch, last in switches if switch[1] != last))


def _check_past(path: Path, used: list[Record], size: int, clock: Clock) -> None:
    for i, record in enumerate(used):
        update, version = i // size, record.runs[-1][0]
        if version > clock.newest(update):
            raise InputError(
                f"trace {path}, line {i + 1}: {record.newest} holds version {version}, expected {clock.newest(update)} "
                f"or less in update {update} (versions count from {clock.base}, the newest of the first update); check "
                "groups, responses and updates_per_version, and that the file begins with the run or at a weight sync"
            )


def _cut(count: int, size: int) -> Iterator[str]:
    if count % size:
        yield f"the last {count % size} of {count} responses are left out: an update takes {size}"


def _converting(used: list[Record], clock: Clock) -> Iterator[str]:
    """What was lost between the system's versions and the plan's."""
    if clock.base:
        yield f"versions count from {clock.base}, the newest of the first update; exact if the file begins with the run"
    older = sum(record.runs[0][0] < clock.base for record in used)
    between = sum(any(clock.updates(version).denominator > 1 for version, _ in record.runs) for record in used)
    spread = sum(record.ends_only and bool(record.lengths) for record in used)
    blind = sum(record.ends_only and not record.lengths for record in used)
    for count, text in (
        (older, "began with an older version than that; version 0 stands for it"),
        (between, "have versions between two updates; rounded down to whole updates"),
        (spread, "record their first and last version only; spread evenly over their tokens"),
        (blind, "span several versions without a length; the first one stands for all of it"),
    ):
        if count:
            yield f"{count} of {len(used)} responses {text}"


def _grouping(parted: list[list[Response]]) -> Iterator[str]:
    mixed = sum(len(set(group)) > 1 for group in parted)
    if mixed:
        of = f"{mixed} of {len(parted)} groups"
        yield f"{of} had responses of different versions or switches; the oldest stands for the group"


def _scaling(used: list[Record], scale: Fraction, tokens: int | None, longest: int) -> Iterator[str]:
    if scale != 1:
        lost = sum(len(set(record.positions())) - len(set(record.positions(scale))) for record in used)
        yield f"tokens are scaled by {tokens}/{longest}, the longest response; {lost} switches fell onto another one"


def _read(path: Path, parse: Callable[[dict[str, Any]], Record]) -> list[Record]:
    expected = "one JSON object per response"
    records = [_parsed(where, value, parse) for where, value in objects(path, expected)]
    if not records:
        raise InputError(f"trace {path}: empty; expected {expected}")
    return records


def _parsed(where: str, value: dict[str, Any], parse: Callable[[dict[str, Any]], Record]) -> Record:
    try:
        record = parse(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if sum(record.lengths) >= END:
        raise InputError(f"{where}: the response has {sum(record.lengths)} tokens, expected fewer than {END}")
    return record


def areal(record: dict[str, Any]) -> Record:
    """AReaL: `version_rle`, the versions of all generated tokens as runs [[version, tokens], ...]; exact.

    Source: areal-project/AReaL, areal/infra/workflow_executor.py, `_dump_trajectory` (rollout.dump_to_file), one file
    per task. `head_version` and `tail_version` are the ends of the runs and not read. A version is a training step of
    ppo_n_minibatches updates.
    """
    runs = _at(record, "version_rle")
    pairs = isinstance(runs, list) and runs and all(isinstance(run, list) and len(run) == 2 for run in runs)
    _expect(pairs and all(map(is_whole, itertools.chain(*runs))), "version_rle", runs, "runs [[version, tokens], ...]")
    versions, lengths = ([run[i] for run in runs] for i in (0, 1))
    _expect(versions[0] >= 0 and versions == sorted(versions), "version_rle", runs, "versions from 0 that never fall")
    _expect(min(lengths) > 0, "version_rle", runs, "whole numbers of tokens above 0")
    return Record(tuple(zip(versions, lengths, strict=True)), "version_rle")


def verl(record: dict[str, Any]) -> Record:
    """verl: `min_global_steps` and `max_global_steps`, the first and last version, and `response_len` in tokens.

    Source: verl-project/verl, verl/trainer/ppo/v1/agent_loop_tq.py, the tags of a trajectory; the same two fields are
    in the batches of verl/experimental/fully_async_policy. Without `response_len` the first version stands for the
    whole response. A version is a weight sync: parameter_sync_step (V1) or trigger_parameter_sync_step updates.
    """
    first = _whole(record, "min_global_steps")
    last = _whole(record, "max_global_steps", first)
    length = None if _at(record, "response_len") is None else _whole(record, "response_len", 1)
    return _ends(first, last, length, "max_global_steps")


def trl(record: dict[str, Any]) -> Record:
    """TRL's AsyncGRPO: `model_version`, the version at the start of the response's group; later ones are not recorded.

    Source: huggingface/trl, trl/experimental/async_grpo/async_rollout_worker.py, `RolloutSample`. A version is a weight
    sync, of weight_sync_steps updates; the one before the first update is number 1.
    """
    return Record(((_whole(record, "model_version"), None),), "model_version")


def prime_rl(record: dict[str, Any]) -> Record:
    """prime-rl: `run.work.policy`, the first and last version of an episode as start and end.

    Source: PrimeIntellect-ai/verifiers, verifiers/v1/episode.py, `Episode.to_record`, which the file monitor of
    PrimeIntellect-ai/prime-rl writes (src/prime_rl/monitors/file). The length is the sum of `usage.completion_tokens`
    over the calls of all traces; where one lacks it, the first version stands for the whole response. A version is an
    update.
    """
    first = _whole(record, "run.work.policy.start")
    last = _whole(record, "run.work.policy.end", first)
    return _ends(first, last, _completion_tokens(record), "run.work.policy.end")


def pipeline_rl(record: dict[str, Any]) -> Record:
    """PipelineRL: `metadata.model_version`, the version at the start of the response; later ones are not recorded.

    Source: ServiceNow/PipelineRL, pipelinerl/actor.py, `schedule_rollouts`; the actor's stream has one array of such
    samples per group and line. A version is the number of samples trained on: 1 / samples per update is an update.
    """
    return Record(((_whole(record, "metadata.model_version"), None),), "metadata.model_version")


IMPORTERS: dict[str, Callable[[dict[str, Any]], Record]] = {
    "areal": areal,
    "verl": verl,
    "trl": trl,
    "prime_rl": prime_rl,
    "pipeline_rl": pipeline_rl,
}


def _ends(first: int, last: int, length: int | None, newest: str) -> Record:
    """The versions from first to last spread evenly over `length` tokens; None: their lengths are not known."""
    if length is None:
        return Record(tuple((version, None) for version in sorted({first, last})), newest, first < last)
    count = min(last - first + 1, length)
    versions = [first + i * (last - first) // max(1, count - 1) for i in range(count)]
    starts = [i * length // count for i in range(count + 1)]
    lengths = [end - start for start, end in itertools.pairwise(starts)]
    return Record(tuple(zip(versions, lengths, strict=True)), newest, first < last)


def _completion_tokens(record: dict[str, Any]) -> int | None:
    try:
        counts = [call["usage"]["completion_tokens"] for trace in record["traces"] for call in trace["calls"]]
    except (KeyError, TypeError):
        return None
    return sum(counts) or None if all(is_whole(count) and count >= 0 for count in counts) else None


def _at(record: dict[str, Any], field: str) -> Any:
    """The value at a path with dots, None where there is none."""
    value: Any = record
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _whole(record: dict[str, Any], field: str, least: int = 0) -> int:
    value = _at(record, field)
    _expect(is_whole(value) and value >= least, field, value, f"a whole number from {least}")
    return int(value)


def _expect(holds: Any, field: str, value: Any, expected: str) -> None:
    if not holds:
        raise InputError(f"{field} is {'missing' if value is None else shown(value)}, expected {expected}")
