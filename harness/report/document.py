"""The report as a document: what `report.json` holds, and what every other form of a report is made from.

Frozen values without behavior. Scores, shares and retained gains are fractions; lags are in optimizer updates; a number
is None where nothing can be said, so that the document is plain JSON: `lagbench report --schema` prints its schema.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Format = Literal["lagbench-report@2"]
State = Literal["finished", "failed", "unfinished", "stale", "missing"]


class Part(BaseModel):
    """A part of the document."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Interval(Part):
    """A value with its 95 % interval."""

    mean: float
    low: float | None = None
    """None where no interval can be given, as from two seeds."""
    high: float | None = None
    values: tuple[float, ...] = ()
    """Of every seed, where there are too few for an interval over seeds; else empty."""


class Difference(Part):
    """One objective minus another, paired by seed. It gets a mark where it is `significant`, and not else."""

    value: Interval
    p: float | None
    """Paired t test, two-sided; None with fewer than three seeds."""
    p_exact: float | None
    """An exact test on the same seeds; None where so few seeds could not reach 0.05 whatever they measured."""
    exact: str
    """Which exact test it is: sign flips, label permutation, or empty."""
    p_adjusted: float | None
    """`p` by Holm's method over the whole family: is it more than the noise of seeds?"""
    p_charged: float | None
    """The same of the test charged for collapses: is it more than those seen, and those not seen yet, could explain?"""
    significant: bool | None
    """Whether both are at most the family's level; None where no claim is made."""
    same_formula: bool = False
    """Known before the run not to differ: one formula where policies do not. No test, and none in the family."""


class Collapse(Part):
    """When a seed's run collapsed, and why: `lagbench list collapse`."""

    seed: int
    reason: str
    update: int
    value: float | None = None
    limit: float | None = None


class Cost(Part):
    """Of all seeds together."""

    tokens_generated: int
    tokens_trained: int
    """Response tokens that reached the loss; less than generated where an objective or a schedule drops some."""
    seconds: float
    """Of generation and learning, wall time, on whatever else the machine did."""
    updates_per_second: float | None


class Row(Part):
    """One entry of the matrix: an objective under one schedule and one mismatch, over its seeds."""

    objective: str
    lag: str
    """The schedule in canonical spelling."""
    constant_lag: int | None
    """Of a constant schedule (sync is 0); None of any other."""
    mismatch: str
    lag_mean: float | None
    """Realized, over the tokens trained on."""
    lag_max: float | None
    seeds: tuple[int, ...]
    """Those that came to an end. One that ended non-finite is among them: its scores are 0."""
    failed: int
    """Ended by an error that says nothing about the objective, as a full disk; not in the scores."""
    unfinished: int
    missing: int
    """Planned by the suite, never begun."""
    stale: int = 0
    """Made by other code than counts now; not in the scores."""
    kept: int = 0
    """Of `seeds`, those that are in the scores although other code has made them."""
    reasons: tuple[str, ...]
    """Why seeds failed or ended non-finite."""
    scores: dict[str, Interval]
    """pass@k and more; empty where no seed has ended."""
    interval_over: Literal["seeds", "problems"]
    by_seed: dict[int, float]
    """pass@1 of each of `seeds`."""
    retained: Interval | None
    """Gain over the base model divided by the reference's at lag 0."""
    change_from_lag_0: Interval | None
    """In pass@1, over the seeds that both have."""
    against_baseline: Difference | None
    """In pass@1, at the same schedule; None for the baseline itself."""
    collapses: tuple[Collapse, ...]
    collapse_rate: Interval | None
    cost: Cost
    diagnostics: dict[str, float]
    """Means over the second half of the updates and over seeds: `lagbench list diagnostics`."""
    broken_balance: float | None = None
    """The mean of `balance`, |loss| over mean |A|, of an objective that promises 0 and does not have it, because of the
    suite's conventions or its own options; None of all others."""


class Step(Part):
    """From `update` on, this share of runs has not collapsed."""

    update: int
    alive: float
    low: float
    high: float


class Held(Part):
    """Which of the lags tested an objective holds its own gain at: at most a tenth of that at lag 0 is lost."""

    held: int
    """The highest lag up to which it does for sure."""
    lost: int | None
    """The lowest at which it does not for sure; None where there is none. Between the two nothing is known."""
    highest: int
    """Lag tested."""


class Measure(Part):
    """A measure of what lag costs, and the rank by it."""

    value: Interval | None
    """None where it cannot be formed, as where its interval reaches to infinity."""
    place: int | None
    """By `value`, 1 is best; None without an interval."""
    best_rank: int
    """Ranks that differences with a mark leave open: 1 + how many are better for sure."""
    worst_rank: int
    """How many there are, less those that are worse for sure."""


class Tuned(Part):
    """The same objective at the learning rate that the search found best for it."""

    learning_rate: float
    search: dict[str, float]
    """Mean pass@1 in the search by learning rate."""
    scores: dict[str, Interval]
    """pass@1 by schedule, at the learning rate found, on the table's own seeds and problems."""
    gain_under_lag: Interval | None
    own_retention: Interval | None
    held: Held | None


class Standing(Part):
    """One line of the leaderboard: an objective under one mismatch, over all its schedules."""

    objective: str
    mismatch: str
    reads: tuple[str, ...]
    """Log-probabilities beside the current ones: behavior_logprobs, proximal_logprobs."""
    hyperparameters: dict[str, Any]
    conventions: dict[str, str]
    paper: dict[str, str]
    """Conventions that the objective's paper uses."""
    gain_under_lag: Measure
    """How much is gained under lag? Mean gain over log2(1 + lag), in units of the baseline's gain at lag 0."""
    own_retention: Measure
    """How much is kept of the own gain? The same in units of the objective's own gain at lag 0."""
    held: Held | None
    """Where it still holds its own gain; None with too few seeds, or no clear gain at lag 0."""
    gain_at_lag_0: Interval | None
    """In units of the baseline's."""
    iqm: Interval | None
    """Interquartile mean of pass@1 over evaluation tasks and schedules, over seeds."""
    optimality_gap: float | None
    """How far retained gain falls short of 1, at the mean over runs."""
    profile: tuple[float, ...]
    """Share of runs whose retained gain is above each of the report's `thresholds`."""
    collapsed: int
    runs: int
    collapse_rate: Interval | None
    """Its interval takes runs by seed, as those of one seed may collapse together."""
    highest_rate: float
    """Upper end of the one-sided 95 % interval of the rate, runs taken as independent: what marks are charged with."""
    median_collapse: int | None
    """Update by which half of the runs had collapsed; None where fewer did."""
    survival: tuple[Step, ...]
    cost: Cost
    tuned: Tuned | None


class Pair(Part):
    """Two objectives, `first` minus `second`. A difference is None where one of the two has no such measure."""

    first: str
    second: str
    mismatch: str
    gain_under_lag: Difference | None
    own_retention: Difference | None
    probability_of_improvement: float | None
    """That a run of `first` scores higher than one of `second`, at the mean over schedules and tasks; a tie is half."""


class Curve(Part):
    """Measurements of one row's updates, means over seeds, thinned to few points."""

    objective: str
    lag: str
    mismatch: str
    updates: tuple[int, ...]
    tokens: tuple[float, ...]
    """Generated up to and with each of the updates, by one seed."""
    reward_low: tuple[float | None, ...]
    """Of the 95 % interval over seeds."""
    reward_high: tuple[float | None, ...]
    measures: dict[str, tuple[float | None, ...]]
    """reward, nll_positive, nll_negative, nll_ratio, ess_token, kl_k1, entropy, ..."""


class Evaluation(Part):
    """Scores of one row at one version on one exam, over seeds."""

    objective: str | None
    lag: str
    mismatch: str
    version: int
    exam: str
    tokens: float
    """Generated in training up to this version, by one seed."""
    scores: dict[str, Interval]


class Cell(Part):
    """One line of the manifest."""

    name: str
    objective: str | None
    lag: str
    mismatch: str
    seed: int
    state: State
    pass_at_1: float | None
    reason: str
    id: str
    """Digest of its configuration."""
    weights_digest: str
    seconds: float | None
    command: str
    """That makes it again."""
    packages: dict[str, str]
    processor: str
    source: str
    """Name of the results folder that it is from."""


class Sample(Part):
    """A response to a held-out problem, as the model wrote it."""

    objective: str | None
    lag: str
    mismatch: str
    seed: int
    question: str
    answer: str
    response: str
    correct: bool


class Gate(Part):
    """A condition of validity; `passed` is None where it could not be looked at, or is not `promised` and not so."""

    name: str
    passed: bool | None
    detail: str
    promised: bool = True


class Family(Part):
    """The tests that one significance level covers, fixed in the suite."""

    baseline: str
    tests: int
    """Every other objective against the baseline, at every schedule and mismatch, run or not, less `same_formula`."""
    same_formula: int
    """Comparisons that are left out: known before the run not to differ."""
    level: float
    claims: bool
    """Whether there are seeds enough to claim anything."""
    text: str
    mark: str
    """What a mark means and assumes."""


class Finds(Part):
    """What can be found at one schedule and mismatch."""

    lag: str
    mismatch: str
    sd: float
    """Of paired differences in pass@1 over seeds, pooled over objectives that are not known to be the same."""
    detectable: float | None
    """Difference in pass@1 that one test finds four times out of five; None with too few seeds to claim anything."""
    marked: float | None
    """The same for a mark: at the level of Holm's first step, charged, if no run of the better one collapses."""
    seeds_for: dict[str, int | None]
    """Seeds that it would take to find differences of 0.01, 0.02, 0.05 in one test; None: more than a thousand."""


class Power(Part):
    """What the suite can find with the seeds that it plans."""

    seeds: int
    finds: tuple[Finds, ...]
    text: str


class Search(Part):
    """How learning rates were chosen; the same for all objectives."""

    learning_rates: tuple[float, ...]
    lags: tuple[str, ...]
    seeds: tuple[int, ...]
    problems: int
    runs_per_objective: int
    text: str


class Source(Part):
    """A results folder."""

    name: str
    digest: str
    """sha256 of its checksum manifest."""
    cells: int
    """Taken from it."""
    remark: str
    """What was not, and why."""


class Entry(Part):
    """A line of a leaderboard as it once was."""

    objective: str
    mismatch: str
    gain_under_lag: Measure
    own_retention: Measure


class Moment(Part):
    """A leaderboard as it once was."""

    date: str
    """On which it was made, year-month-day."""
    suite_digest: str
    sources: dict[str, str]
    """Digests of the results folders' manifests, by name."""
    entries: tuple[Entry, ...]


class Report(Part):
    """Everything that a report says."""

    format: Format = "lagbench-report@2"
    name: str
    suite_digest: str
    """Of everything that its cells share; reports of different digests are not comparable."""
    suite_id: str = ""
    """The same where all hyperparameters are at their defaults; else a digest of both."""
    code: dict[str, str] = {}
    """By what it is of, the digest of the code that made the cells; several where cells of other code were kept."""
    settings: dict[str, Any]
    inputs: dict[str, Any]
    """Digests of the model and of the data."""
    version: str
    """Of LagBench."""
    sources: tuple[Source, ...]
    valid: bool
    """No gate has failed."""
    gates: tuple[Gate, ...]
    exam: str
    """What the scores are of, in words."""
    base: dict[str, Interval]
    """Scores of the base model, intervals over problems; empty until it has been evaluated."""
    base_error: float | None
    """Standard error of the base model's pass@1 on these very problems; it is in the interval of every gain."""
    family: Family
    power: Power | None
    search: Search | None
    schedules: tuple[str, ...]
    """In the order of the table."""
    thresholds: tuple[float, ...]
    """Of the performance profiles."""
    standings: tuple[Standing, ...]
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    curves: tuple[Curve, ...]
    evaluations: tuple[Evaluation, ...]
    cells: tuple[Cell, ...]
    samples: tuple[Sample, ...]
    history: tuple[Moment, ...] = ()
    """Of a leaderboard, this one the last; a report has none."""
    notes: tuple[str, ...]
    """What a reader has to know to read the tables."""
