"""The nouns of every other file.

Axes: P prompt groups of an update, G responses per group, B = P * G responses (row p * G + g), T response tokens.
Versions count optimizer updates: version v is the policy after v updates. Log-probabilities are in nats.
Policies are named by role: `logprobs` (current), `behavior_` (drew the tokens), `proximal_` (anchor of a
trust region).

torch is imported for type checkers only, so that `lagbench --help` stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class NonFinite(RuntimeError):
    """A loss, gradient or log-probability that is not finite: the run cannot go on."""


class InputError(ValueError):
    """Wrong input from a user. The message states the value, what was expected and the remedy, in one line."""


@dataclass(frozen=True)
class Problem:
    """One question with a known final answer; `id` is stable across runs and versions of LagBench.

    `level` and `subject` are its authors' (empty where they give none); `facts` is what the task's own check needs.
    """

    id: str
    question: str
    answer: str
    task: str
    level: str = ""
    subject: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    r"""Problems to train on, held-out problems to evaluate on, and how text goes in and an answer comes out.

    `prompt` is what a base model sees, with `{question}` in the question's place, and `stops` are the strings that end
    its response. `extract` finds the final answer in a response, None if there is none; without one it is the content
    of the last `\boxed{}`, else what follows the last `####`. `answer_form` is how a response states an answer so that
    it is found, with `{answer}` in the answer's place. `answers="number"` says that every gold answer is a number, so
    that anything else is wrong without asking a computer algebra system. `check`, given a problem and the answer
    extracted, decides instead of any comparison with the gold answer.
    """

    train: Sequence[Problem]
    test: Sequence[Problem]
    prompt: str = "Solve the problem and put the final answer in \\boxed{}.\n\nProblem: {question}\nSolution:"
    stops: tuple[str, ...] = ("\nProblem:",)
    extract: Callable[[str], str | None] | None = None
    answer_form: str = "\\boxed{{answer}}"
    answers: Literal["number", "math"] = "math"
    check: Callable[[Problem, str], bool] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.stops, str) or not all(isinstance(string, str) and string for string in self.stops):
            raise InputError(f"a task's stops={self.stops!r} is not valid: expected strings, none of them empty")
        for name, place in (("prompt", "{question}"), ("answer_form", "{answer}")):
            if place not in getattr(self, name):
                raise InputError(f"a task's {name}={getattr(self, name)!r} is not valid: expected {place} in it")
        if self.answers not in ("number", "math"):
            raise InputError(f"a task's answers={self.answers!r} is not valid: expected number or math")


Method = Literal["exact", "number", "symbolic", "task", "guard", "unparsed", "timeout"]


@dataclass(frozen=True)
class Verdict:
    """Whether a response is right, and how that was found.

    `answer` is the extracted text; `method` names what decided: the text, numbers, algebra, the task's own check, or
    a `guard` against a known false positive. `unparsed`: no answer found, or one too long or too deep to read;
    `timeout`: the algebra gave no answer, because its time or memory ran out. Both count as wrong. `ms` is how long
    it took, in milliseconds, and no part of what makes two verdicts equal.
    """

    correct: bool
    answer: str | None
    method: Method
    ms: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Rollouts:
    """Sampled responses to P prompts, G each; row p * G + g. Right-padded; padding holds zeros.

    `versions` holds, for every token, the policy version that drew it. `stopped` is False where the response was cut
    at the token limit.
    """

    prompts: tuple[tuple[int, ...], ...]  # P prompts of token ids
    tokens: Tensor  # [B, T] int64
    mask: Tensor  # [B, T] bool, True on response tokens, the end-of-sequence token included
    behavior_logprobs: Tensor  # [B, T] float32, at the sampling temperature
    versions: Tensor  # [B, T] int32
    stopped: Tensor  # [B] bool

    @property
    def group_size(self) -> int:
        """G, responses per prompt."""
        return len(self.tokens) // len(self.prompts)


@dataclass(frozen=True)
class Batch:
    """What an objective may ask for, by naming the field as an argument. Entries off the mask are meaningless.

    Only `logprobs` carries a gradient. `proximal_logprobs` are those of the policy at the start of the update; with
    one optimizer step per batch they equal `logprobs` in value. They and `behavior_logprobs` may be -inf: that policy
    gave the token no probability. `uniform` is for an objective that picks tokens at random: the run's own noise, the
    same whenever the update is repeated; None where the objective does not read it.
    """

    logprobs: Tensor  # [B, T]
    behavior_logprobs: Tensor  # [B, T]
    proximal_logprobs: Tensor  # [B, T]
    advantages: Tensor  # [B]
    rewards: Tensor  # [B]
    mask: Tensor  # [B, T] bool
    group: Tensor  # [B] int64, which prompt a response belongs to
    lag: Tensor  # [B, T] int32, updates between the policy that drew a token and the current one
    uniform: Tensor | None = None  # [B, T] float64 in [0, 1), an independent number for every token

    def __post_init__(self) -> None:
        rows, width = self.logprobs.shape
        for name in ("behavior_logprobs", "proximal_logprobs", "mask", "lag", "uniform"):
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != (rows, width):
                raise ValueError(f"Batch.{name} has shape {tuple(value.shape)}, expected [B, T] = ({rows}, {width})")
        for name in ("advantages", "rewards", "group"):
            value = getattr(self, name)
            if tuple(value.shape) != (rows,):
                raise ValueError(f"Batch.{name} has shape {tuple(value.shape)}, expected [B] = ({rows},)")


@dataclass(frozen=True)
class Loss:
    """What an objective returns: the loss of every token, to be minimized after aggregation.

    `tokens` [B, T] carries the gradient; entries off the mask are ignored. `kept` [B, T] bool is what a rejection
    leaves (None: everything): rejected tokens contribute nothing, and the convention `denominator` says whether they
    still count. `step_scale` multiplies the learning rate of this update. `metrics` are recorded as they are.
    """

    tokens: torch.Tensor
    metrics: dict[str, float] = field(default_factory=dict)
    kept: torch.Tensor | None = None
    step_scale: float = 1.0


@dataclass(frozen=True)
class Conventions:
    """What an objective's paper uses around its formula; a suite may fix the first three for all objectives.

    `advantage` and `aggregate` name shared estimators and aggregates; `denominator` says which tokens the aggregate
    counts after a rejection. `on_policy_weight` states the coefficient of A grad log pi of every token ([B], [B, T] or
    a number) where all policies are equal: a function whose arguments name `Batch` fields and options; None means 1.
    `regularized` says that there is a gradient without advantages once the policies differ. `balanced` says that under
    these conventions the loss is zero whatever the policy, positive and negative side canceling each other
    (arXiv 2606.03070, theorem 2); a report tells where a suite's own conventions undo that.
    """

    advantage: str = "group_mean_std"
    aggregate: str = "seq_mean_token_mean"
    denominator: Literal["all", "kept"] = "all"
    on_policy_weight: Callable[..., Any] | None = None
    regularized: bool = False
    balanced: bool = False

    def __post_init__(self) -> None:
        if self.denominator not in ("all", "kept"):
            raise InputError(f"denominator={self.denominator!r} is unknown; expected all or kept")

    @property
    def names(self) -> dict[str, str]:
        """The three that a suite may fix."""
        return {"advantage": self.advantage, "aggregate": self.aggregate, "denominator": self.denominator}
