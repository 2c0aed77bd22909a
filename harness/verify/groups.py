"""Several answers in one: lists and sets in any order, tuples and vectors in theirs, intervals by their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..types import Method
from .decision import UNLIKE, Decision
from .number import quantity
from .spelling import key
from .structure import Equation, Group, read

Decide = Callable[[str, str], Decision | None]
_LATER: list[Method] = ["exact", "number", "symbolic"]  # of an answer's parts, the latest that was needed names it


def same_group(gold: Group, answer: Group, steps: Sequence[Decide]) -> Decision | None:
    """The decision on two groups by decisions on their items: of `steps` the first is cheap, the last the best.

    A list may be a tuple without brackets, in order, or a set without braces; a tuple is no set, and (1,2) is no [1,2].
    """
    brackets = {gold.brackets, answer.brackets}
    interval = any(b not in ("", "{}", "()", "<>") and (b != "[]" or len(gold.items) == 2) for b in brackets)
    if len(brackets) > 1 and (interval or ("{}" in brackets and "" not in brackets)):
        return UNLIKE
    dots = any(r"\ldots" in item for item in gold.items + answer.items)
    if brackets <= {"", "{}"} and not dots and not _distinct_names(gold):
        return _in_any_order(_unique(gold.items), _unique(answer.items), steps)
    if len(gold.items) != len(answer.items):
        return UNLIKE
    return _together(steps[-1](mine, given) for mine, given in zip(gold.items, answer.items, strict=True))


def _unique(items: Iterable[str]) -> list[str]:
    """Items without repetitions, except of numbers: 1,1 may mean a double root."""
    return list({i if quantity(item) else key(item): item for i, item in enumerate(items)}.values())


def _distinct_names(group: Group) -> bool:
    """Whether a list gives values to several different letters, so that its order tells which is which."""
    names = [item.left[:1] for text in group.items if isinstance(item := read(text), Equation)]
    return len(set(names)) == len(group.items) and all(name.isalpha() for name in names)


def _in_any_order(gold: list[str], answer: list[str], steps: Sequence[Decide]) -> Decision | None:
    """Pairs that the cheap step finds are out of the way before the better one is asked about the rest."""
    if len(gold) != len(answer):
        return UNLIKE
    matched: list[Decision] = []
    open_ = False
    for decide in steps:
        open_ = False
        for mine in list(gold):
            decisions = [decide(mine, given) for given in answer]
            same = next((i for i, decision in enumerate(decisions) if decision and decision.same), None)
            if same is not None:
                matched += [decision for decision in [decisions[same]] if decision]
                gold.remove(mine)
                answer.pop(same)
            elif None not in decisions:
                return Decision(False, _latest(decision for decision in decisions if decision))
            else:
                open_ = True
    return None if open_ else Decision(True, _latest(matched))


def _together(decisions: Iterable[Decision | None]) -> Decision | None:
    made = list(decisions)
    if different := next((decision for decision in made if decision and not decision.same), None):
        return different
    return None if None in made else Decision(True, _latest(decision for decision in made if decision))


def _latest(decisions: Iterable[Decision]) -> Method:
    methods = {decision.method for decision in decisions}
    return next((method for method in reversed(_LATER) if method in methods), "guard" if methods else "exact")
