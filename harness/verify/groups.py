"""Several answers in one: lists and sets in any order, tuples and vectors in theirs, intervals by their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from ..types import Method
from .decision import UNLIKE, Decision
from .number import quantity
from .spelling import key
from .structure import Equation, Group, read

MOST_ITEMS = 64  # of a list whose items are compared each with each; those of a longer one are put in order first
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
    if brackets <= {"", "{}"} and not dots and not _names(gold):
        sets = brackets == {"{}"}
        return _in_any_order(_unique(gold.items, sets), _unique(answer.items, sets), steps)
    if len(gold.items) != len(answer.items):
        return UNLIKE
    mine, given = _aligned(gold, answer)
    return _together(steps[-1](a, b) for a, b in zip(mine, given, strict=True))


def _unique(items: Iterable[str], sets: bool) -> list[str]:
    """Items without repetitions, except of numbers outside of sets: 1,1 may mean a double root."""
    found: dict[object, str] = {}
    for i, item in enumerate(items):
        number = quantity(item)
        found.setdefault((number.value if sets else i) if number else key(item), item)
    return list(found.values())


def _names(group: Group) -> list[str]:
    """The different letters that a list gives values to, none unless all are, so that its order does not matter."""
    names = [item.left[:1] for text in group.items if isinstance(item := read(text), Equation)]
    distinct = len(set(names)) == len(group.items) and all(name.isalpha() for name in names)
    return names if distinct else []


def _aligned(gold: Group, answer: Group) -> tuple[Sequence[str], Sequence[str]]:
    """The items that belong together: values of the same letters, of x, y and z in a tuple, else as they stand."""
    names, given = _names(gold), _names(answer)
    if sorted(names) == sorted(given) or (not names and given == sorted(given)):
        return _by_name(gold.items, names), _by_name(answer.items, given)
    if (not names and gold.brackets == "()") or (not given and answer.brackets == "()"):
        return _by_name(gold.items, names), _by_name(answer.items, given)
    return gold.items, answer.items


def _by_name(items: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    return [item for _, item in sorted(zip(names, items, strict=True))] if names else items


def _in_order(item: str) -> tuple[bool, Fraction, str]:
    number = quantity(item)
    return not number, number.value if number else Fraction(0), key(item)


def _in_any_order(gold: list[str], answer: list[str], steps: Sequence[Decide]) -> Decision | None:
    """Pairs that the cheap step finds are out of the way before the better one is asked about the rest."""
    if len(gold) != len(answer):
        return UNLIKE
    if len(gold) > MOST_ITEMS:
        return _together(map(steps[-1], sorted(gold, key=_in_order), sorted(answer, key=_in_order)))
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
