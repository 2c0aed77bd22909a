"""Run (one cell) and Suite (objectives x lags x mismatches x seeds): frozen, validated once, every field with its unit.

A suite is a TOML file plus `key=value` overrides; each value is read as TOML, or else as text.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .lag import resolve, split_schedules
from .prompts import prompt_form
from .registry import OBJECTIVES, did_you_mean, plain_value
from .types import InputError

ALL = "all"  # as objectives: every registered one
NO_MISMATCH = "none"
PAPER = "paper"  # as a convention: what each objective's own paper uses
COLDEST, HOTTEST = 0.01, 100  # temperatures; beyond, log-probabilities leave the range of floats or say nothing
MOST_SAMPLES = 1000  # of a problem; maj@k of more would leave the range of floats
# Keys that change no cell, only what is said of it, what is run beside it, and where.
JUDGMENT = {"collapse", "baseline", "search", "executor", "address"}
LATER: dict[str, Any] = {  # keys that came after the first results folders, with what these were made with
    "validation": 0,
    "train_problems": 0,
    "sampler": "torch",
    "microbatch_tokens": 0,
    "group_packing": False,
    "gradient_checkpointing": False,
    "learner_processes": 1,
    "learner_sharding": "none",
}
AS_IN = {"collapse": "collapse.window=20", "search": "search.learning_rates=3e-5,1e-4"}  # of the tables, an override
Config = TypeVar("Config", bound="Settings")
Beta = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _as_list(value: Any) -> Any:
    """Accept one value, or text with commas, where a list is wanted."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return [value] if isinstance(value, int | float) else value


class CollapseRules(BaseModel):
    """When a run counts as collapsed; the rules are written out in `lagbench list collapse`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    window: PositiveInt = 10
    """Updates over which measurements are averaged."""
    reward_of_best: Fraction = 0.5
    """Of the run's own best mean reward so far."""
    reward_of_start: Fraction = 0.7
    """Of the mean reward over the first window."""
    reward_drop: NonNegativeFloat = 0.05
    """Smaller drops of the mean reward are noise."""
    entropy_floor: NonNegativeFloat = 0.01
    """Nats per token."""
    gradient_growth: PositiveFloat = 20.0
    """Times the mean gradient norm of the first window."""
    nll_growth: PositiveFloat = 3.0
    """Times the mean NLL of the first window."""
    length_growth: PositiveFloat = 3.0
    """Times the mean response length of the first window."""
    truncated_rise: Fraction = 0.7
    """Of the way from the first window's share of truncated responses to all of them."""
    score_of_base: Fraction = 0.5
    """Of the base model's held-out pass@1."""


class Settings(BaseModel):
    """What all cells of a suite share."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    task: str = "chain"
    """Problems and how their answers are found; `lagbench list tasks`."""
    data: str | None = None
    """Where the task's data is, for tasks that read some: a local folder or a hub id."""
    train_problems: NonNegativeInt = 0
    """Train on so many of the task's problems, chosen at random once, the same for all cells; 0: on all of them."""
    model: str = "tiny"
    """`tiny` (embedded), a Hugging Face folder, or a hub id."""
    prompt: Annotated[str, AfterValidator(lambda name: prompt_form(name).name)] = "plain@1"
    """What stands around a question: plain (the task's own prompt), question, boxed or chat, with its version."""

    updates: NonNegativeInt = 100
    """Optimizer updates; version v is the policy after v updates."""
    prompts_per_update: PositiveInt = 32
    """Prompt groups of one update."""
    responses_per_prompt: PositiveInt = 8
    """Responses in a group; one alone teaches nothing where the advantage's baseline comes from the group."""
    sampler: Literal["torch", "vllm"] = "torch"
    """What draws responses, in training and in evaluation: torch, the learner's own model; or vllm."""
    temperature: Annotated[float, Field(ge=COLDEST, le=HOTTEST)] = 1.0
    """Of sampling, and of the log-probabilities that are trained."""
    max_tokens: PositiveInt = 16
    """Longest response; one that reaches it is cut and counted as truncated."""

    advantage: str = "group_mean_std"
    """How rewards become advantages, for all objectives: group_mean, group_mean_std, batch_std, leave_one_out,
    asymre:SHIFT, opmd (the group's mean) or opmd:TAU (its soft maximum), opo, reinforce_plus_plus,
    reinforce_plus_plus_baseline, maxrl; or paper: that of each objective's own. With a baseline from the group, a
    response that is alone in its group has 0 (verl keeps its reward)."""
    aggregate: str = "seq_mean_token_mean"
    """How token losses become one, for all objectives: token_mean, seq_mean_token_mean, seq_mean_token_sum,
    fixed_length (over max_tokens), prompt_mean (of the token mean of each group), token_sum; or paper."""
    denominator: Literal["all", "kept", "paper"] = "all"
    """Tokens that the aggregate counts where an objective rejects some: all, or those that are kept; or paper."""

    learning_rate: PositiveFloat = 1e-4
    warmup_updates: NonNegativeInt = 0
    """Updates over which the learning rate rises linearly."""
    adam_betas: tuple[Beta, Beta] = (0.9, 0.95)
    weight_decay: NonNegativeFloat = 0.0
    clip_norm: PositiveFloat = 1.0
    """Largest norm of the gradient of one update."""
    microbatch: PositiveInt = 256
    """Responses in one forward pass; changes memory, not results."""
    microbatch_tokens: NonNegativeInt = 0
    """Tokens in one forward pass, padding included; responses of like length go together. 0: `microbatch` responses."""
    group_packing: bool = False
    """Compute a prompt once for all responses of its group when training; changes time, and results by rounding."""
    gradient_checkpointing: bool = False
    """Keep only the inputs of the model's layers for backward and compute the rest again: less memory, more time."""
    learner_processes: PositiveInt = 1
    """Processes that share every update, started by torchrun; on GPUs, one for each."""
    learner_sharding: Literal["none", "full"] = "none"
    """What each of several learner processes holds: none, all weights (data parallel); full, a part of weights,
    gradients and optimizer (FSDP2)."""

    eval_tasks: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ()
    """Tasks to evaluate on, NAME or NAME:DATA, the first for the table's scores; by default the one trained on."""
    eval_at: Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_as_list)] = ()
    """Versions to evaluate besides the final one, as in 0,50: version v is the policy after v updates."""
    eval_problems: Annotated[int, Field(ge=2)] = 128
    """Held-out problems, the first of each test set; an interval needs at least two."""
    eval_samples: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 16
    """Responses to each of them; pass@k is reported for k = 1, 2, 4, ... up to this."""
    validation: NonNegativeInt = 0
    """Problems taken off the end of the training set and evaluated on instead of the test set; a search for learning
    rates does so."""

    collapse: CollapseRules = CollapseRules()
    """Thresholds of the collapse verdict, as in collapse.window=20; they change no cell. `lagbench list collapse`."""


class Run(Settings):
    """One cell: one objective under one lag and one mismatch with one seed."""

    objective: str | None
    """None, with no updates, stands for the model as it is."""
    hyperparameters: dict[str, Any] = {}
    """Of the objective, all of them resolved."""
    lag: str
    """A schedule in canonical spelling."""
    mismatch: str = NO_MISMATCH
    seed: Seed

    @property
    def id(self) -> str:
        """The first 16 hex digits of the sha256 of the configuration."""
        return digest_of(identifying(self.model_dump()))

    @property
    def name(self) -> str:
        """Of its folder within a suite's."""
        return cell_name(self.objective, self.lag, self.mismatch, self.seed)


def cell_name(objective: str | None, lag: str, mismatch: str, seed: int) -> str:
    """The name of a cell's folder; lag and mismatch in canonical spelling."""
    if objective is None:
        return "base"
    axes = (lag,) if mismatch == NO_MISMATCH else (lag, mismatch)
    return "-".join([objective, *map(_in_a_path, axes), f"seed{seed}"])


def _in_a_path(axis: str) -> str:
    """A schedule or mismatch as part of a folder's name; a long one, of a trace, by its end and its digest."""
    name = re.sub(r"[^\w.+-]", "-", axis)
    return name if len(name) <= 80 else f"{name[-60:]}-{digest_of(axis)[:8]}"


def _as_texts(value: Any) -> Any:
    """The same, of what is written as text even where it looks like a number."""
    return [part if isinstance(part, str) else str(part).lower() for part in _as_list(value)]


def _as_schedules(value: Any) -> Any:
    return split_schedules(value) if isinstance(value, str) else _as_texts(value)


def _meant(lags: Sequence[str]) -> list[str]:
    """The schedules in canonical spelling; sync is constant:0."""
    texts = [resolve(lag).text for lag in lags]
    return ["constant:0" if lag == "sync" else lag for lag in texts]


def _require_different(key: str, given: Sequence[Any], meant: Sequence[Any]) -> None:
    """No value twice, however it is written."""
    for i, meaning in enumerate(meant):
        value, other = given[i], given[list(meant).index(meaning)]
        if list(meant).index(meaning) < i:
            same = f"{value} twice" if value == other else f"{other} and {value}, which are the same"
            raise PydanticCustomError("stated", f"{key} holds {same}")


def _first_objective(value: str, info: ValidationInfo) -> str:
    return value or next(iter(info.data.get("objectives", ())), "")


class Search(BaseModel):
    """Where the learning rate of every objective is looked for: rates x lags x seeds, the same for all objectives."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    learning_rates: Annotated[tuple[PositiveFloat, ...], BeforeValidator(_as_list), Field(min_length=1)]
    """Those that are tried."""
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_as_list), Field(min_length=1)] = (100, 101)
    """Of the search alone: none of them is a seed of the suite."""
    problems: Annotated[int, Field(ge=2)] = 128
    """Taken off the end of the training set to choose on; the test set has no part in it."""
    lags: Annotated[tuple[str, ...], BeforeValidator(_as_schedules)] = ()
    """Schedules under which rates are compared; by default all of the suite's."""


class Suite(Settings):
    """Objectives x lags x seeds, and everything they share."""

    name: str
    description: str = ""
    objectives: Annotated[tuple[str, ...], BeforeValidator(_as_texts), Field(min_length=1)]
    """`lagbench list objectives`; all stands for every registered one."""
    lags: Annotated[tuple[str, ...], BeforeValidator(_as_schedules), Field(min_length=1)]
    """Lag schedules, or other systems' settings: `lagbench lag list`; a whole number k stands for constant:k."""
    mismatch: Annotated[tuple[str, ...], BeforeValidator(_as_texts), Field(min_length=1)] = (NO_MISMATCH,)
    """What disturbs the sampler unknown to the learner: none, logit_noise:SIGMA, temperature:T, top_p:P, bf16."""
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_as_list), Field(min_length=1)] = (0,)
    hyperparameters: dict[str, dict[str, Any]] = {}
    """By objective, where they differ from its defaults."""
    baseline: Annotated[str, AfterValidator(_first_objective)] = Field("", validate_default=True)
    """The objective that all others are compared with; with it at lag 0, gains are measured. By default the first of
    objectives. It need not be among them: its cells at lag 0 are run besides, and comparisons at other lags are missing
    until a command asks for its cells there. A results folder keeps the baseline of its first command."""
    executor: Literal["local", "ray"] = "local"
    """Where cells run: on this machine, or spread over a Ray cluster whose nodes share the results folder."""
    address: str | None = None
    """Of the Ray cluster, as in ray://HOST:10001 or HOST:6379; without one, a cluster on this machine is started."""
    search: Search | None = None
    """A search for every objective's learning rate: search.learning_rates=3e-5,1e-4 (required), search.seeds,
    search.problems, search.lags. Without it, all train at learning_rate only."""

    @model_validator(mode="after")
    def _no_cell_twice(self) -> Self:
        for key, values in (("objectives", self.objectives), ("mismatch", self.mismatch), ("seeds", self.seeds)):
            _require_different(key, values, values)
        _require_different("lags", self.lags, _meant(self.lags))
        for key, values in (("eval_tasks", self.eval_tasks), ("eval_at", self.eval_at)):
            _require_different(key, values, values)
        if late := [version for version in self.eval_at if version > self.updates]:
            raise PydanticCustomError("stated", f"eval_at={late[0]} comes after the last version, {self.updates}")
        return self

    @model_validator(mode="after")
    def _address_is_of_a_cluster(self) -> Self:
        if self.address is not None and self.executor != "ray":
            raise PydanticCustomError("stated", f"address={self.address} is of a Ray cluster: add executor=ray")
        return self

    @model_validator(mode="after")
    def _search_is_separate(self) -> Self:
        if self.search is None:
            return self
        _require_different("search.lags", self.search.lags, _meant(self.search.lags))
        for key in ("learning_rates", "seeds"):
            values = getattr(self.search, key)
            _require_different(f"search.{key}", values, values)
        if both := [seed for seed in self.search.seeds if seed in self.seeds]:
            raise PydanticCustomError(
                "stated", f"search.seeds holds {both[0]}, a seed of the suite: learning rates are chosen on others"
            )
        if self.validation:
            raise PydanticCustomError(
                "stated", f"validation={self.validation} and search: a search sets it by search.problems; leave it out"
            )
        return self

    def settings(self) -> dict[str, Any]:
        """What all cells share, as plain values."""
        return self.model_dump(include=set(Settings.model_fields))

    @property
    def shared(self) -> dict[str, Any]:
        """What all cells share as far as it changes what they measure, and hyperparameters by objective."""
        return identifying(self.settings()) | {"hyperparameters": self.hyperparameters}

    @property
    def label(self) -> str:
        """Name and digest of what the cells share: suites of one label can be put into one table."""
        return f"{self.name}-{digest_of(self.shared)[:8]}"


def load_suite(source: str, overrides: Iterable[str] = ()) -> Suite:
    """The suite in a TOML file, or the packaged one of that name, with `key=value` overrides.

    Dots reach into tables: `hyperparameters.spo.neg_scale=0.1`. `lag=` is another word for `lags=`.
    """
    path = Path(source)
    if path.suffix != ".toml":
        path = packaged_suites().get(source, path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        names = packaged_suites()
        raise InputError(
            f"unknown suite {source!r}{did_you_mean(source, names)}; expected {', '.join(names)} or a .toml file"
        ) from None
    except ValueError as error:  # of the encoding or of the TOML
        raise InputError(f"{path}: not valid TOML: {error}") from None
    values.setdefault("name", path.stem)
    for override in overrides:
        _set(values, f"lags={override[4:]}" if override.startswith("lag=") else override)
    if values.get("objectives") in (ALL, [ALL]):
        values["objectives"] = list(OBJECTIVES.all())
    return validated(Suite, values)


def packaged_suites() -> dict[str, Path]:
    """The suites that come with LagBench, by name."""
    folder = Path(str(files("lagbench.harness") / "suites"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def validated(config: type[Config], values: dict[str, Any]) -> Config:
    """`config(**values)`, its first mistake turned into one clear line."""
    try:
        return config(**values)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # a typing mistake hides a key
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(f"unknown key {key!r}{_known_keys(config, key)}") from None
        if first["type"] == "model_type":
            raise InputError(
                f"{key}={first['input']!r} is not valid: expected {key}.NAME=value, as in {AS_IN[key]}"
            ) from None
        if first["type"] == "missing":
            raise InputError(f"{config.__name__.lower()}: {key!r} is missing") from None
        if isinstance(first.get("ctx", {}).get("error"), InputError):
            raise first["ctx"]["error"] from None
        if first["type"] == "stated":
            raise InputError(first["msg"]) from None
        raise InputError(f"{key}={first['input']!r} is not valid: {first['msg']}") from None


def _known_keys(config: type[Config], key: str) -> str:
    """What an unknown key may have been meant as, and where all that are known stand."""
    table = key.partition(".")[0]
    if table == "search":
        known = [f"search.{name}" for name in Search.model_fields]
        return f"{did_you_mean(key, known)}; expected {', '.join(known)}"
    listing, fields = (
        ("collapse", CollapseRules.model_fields) if table == "collapse" else ("settings", config.model_fields)
    )
    known = [f"collapse.{name}" if table == "collapse" else name for name in fields]
    return f"{did_you_mean(key, known)}; `lagbench list {listing}` prints all {len(known)}"


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"{override!r} is not an override; expected key=value, as in updates=20 or lags=0,8")
    *tables, last = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise InputError(f"{override!r}: {table!r} is not a table")
    values[last] = plain_value(text)


def identifying(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a digest is made of: those that change what is measured.

    A key that came later is left out where it has the value that everything before it was made with; so ids, labels
    and digests outlast it.
    """
    return {
        key: value
        for key, value in settings.items()
        if key not in JUDGMENT and (key not in LATER or value != LATER[key])
    }


def digest_of(value: Any) -> str:
    """The first 16 hex digits of the sha256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
