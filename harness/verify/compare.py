r"""Whether two answers mean the same: by text, conventions, numbers and structure, and by algebra for what is left.

The same rules run twice: in the caller's process without algebra, and in a worker, with it, for what stays open.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from . import conventions
from .agreement import same_integer, same_number
from .decision import UNLIKE, Decision
from .groups import same_group
from .intervals import as_union
from .number import Quantity, quantity
from .spelling import key, tidy
from .structure import Equation, Group, alternatives, is_name, is_relation, read

_FIRST = (conventions.bases, conventions.clocks, conventions.choices)
_LAST = (conventions.ellipses, conventions.ratios, conventions.hedges, conventions.primes, conventions.kinds)
_FUNCTION = re.compile(r"([A-Za-z])\(([A-Za-z])\)")
_LETTER = r"(?<![A-Za-z\\]){}(?![A-Za-z])"
_SET = re.compile(r"\\(?:cup|cap|setminus|mathbb)")
Algebra = Callable[[str, str], Decision]


def decide(gold: str, answer: str, algebra: Algebra | None = None) -> Decision | None:
    """The decision on an answer, or None where only algebra can tell and there is none.

    >>> decide("1,2", "(2,1)"), decide("x=0.5", "1/2"), decide("x+1", "1+x")
    (Decision(same=False, method='number'), Decision(same=True, method='number'), None)
    """
    if gold == answer:
        return Decision(True, "exact")
    if (same := same_integer(gold, answer)) is not None:
        return Decision(same, "number")
    gold, answer = as_union(gold), as_union(answer)
    if key(gold) == key(answer):
        return Decision(True, "exact") if key(gold) else UNLIKE
    numbers = quantity(gold), quantity(answer)
    gold, answer = tidy(gold), tidy(answer)
    if decision := _by_convention(gold, answer, _FIRST):
        return decision
    if numbers[0] and numbers[1] and (decision := _by_number(numbers[0], numbers[1])):
        return decision
    mine, given = (
        text if number and not number.doubtful else read(text)
        for text, number in ((gold, numbers[0]), (answer, numbers[1]))
    )
    if isinstance(mine, Equation) or isinstance(given, Equation):
        return _equations(gold, answer, mine, given, algebra)
    mine, given = _alternatives(mine), _alternatives(given)
    if isinstance(mine, Group) and isinstance(given, Group):
        if (mine.brackets == "{}") != (given.brackets == "{}") and 1 in (len(mine.items), len(given.items)):
            return _one_of_a_set(mine, given, gold, answer, algebra)
        return same_group(mine, given, [decide, partial(decide, algebra=algebra)] if algebra else [decide])
    if isinstance(mine, Group):
        return _group_and_value(mine, answer, gold, algebra)
    if isinstance(given, Group):
        return _group_and_value(given, gold, answer, algebra and (lambda group, value: algebra(value, group)))
    if decision := _by_convention(mine, given, _LAST):
        return decision
    return algebra(mine, given) if algebra else None


def _by_convention(gold: str, answer: str, rules: tuple[Callable[[str, str], bool | None], ...]) -> Decision | None:
    said = next((same for rule in rules if (same := rule(gold, answer)) is not None), None)
    return None if said is None else Decision(True, "exact") if said else UNLIKE


def _by_number(gold: Quantity, answer: Quantity) -> Decision | None:
    if same_number(gold, answer):
        return Decision(True, "number")
    if gold.doubtful or answer.doubtful:
        return None
    return UNLIKE if gold.value == answer.value else Decision(False, "number")


def _alternatives(part: Group | str) -> Group | str:
    r"""An answer with 1 \pm x as a list of two values, also in lists and sets."""
    if isinstance(part, str):
        return alternatives(part) or part
    if part.brackets not in ("", "{}"):
        return part
    items = [both.items if (both := alternatives(item)) else (item,) for item in part.items]
    return Group(part.brackets, tuple(text for item in items for text in item))


def _equations(
    gold: str, answer: str, mine: Group | Equation | str, given: Group | Equation | str, algebra: Algebra | None
) -> Decision | None:
    """A name has the value of its equation; any other left side has to be equal to the right: 4=5 is not 5."""
    if isinstance(mine, Equation) and isinstance(given, Equation):
        if _same_name(key(mine.left), key(given.left)):
            return decide(mine.right, _in_same_argument(mine, given), algebra)
        return algebra(gold, answer) if algebra else None
    left, right = next(side for side in (mine, given) if isinstance(side, Equation))
    if left and not is_name(left, sums=isinstance(given, Equation)):
        true = decide(left, right, algebra)
        if true is None or not true.same:
            return UNLIKE if true else None
    return decide(right, answer, algebra) if isinstance(mine, Equation) else decide(gold, right, algebra)


def _same_name(gold: str, answer: str) -> bool:
    """Whether two left sides name the same: themselves, f(x) and f(t), f(x) and y; f(1) and f(2) do not."""
    names = [match[1] if (match := _FUNCTION.fullmatch(left)) else left for left in (gold, answer)]
    return names[0] == names[1] or ("y" in names and names != [gold, answer])


def _in_same_argument(gold: Equation, answer: Equation) -> str:
    """The answer's right side in the gold answer's letter: t^2 of f(t) as x^2 where that is f(x)."""
    mine, given = (_FUNCTION.fullmatch(key(side.left)) for side in (gold, answer))
    if not mine or not given or re.search(_LETTER.format(mine[2]), answer.right):
        return answer.right
    return re.sub(_LETTER.format(given[2]), mine[2], answer.right)


def _one_of_a_set(mine: Group, given: Group, gold: str, answer: str, algebra: Algebra | None) -> Decision | None:
    """A set of one tuple is that tuple."""
    if mine.brackets == "{}" and len(mine.items) == 1:
        return decide(mine.items[0], answer, algebra)
    return decide(gold, given.items[0], algebra) if len(given.items) == 1 and given.brackets == "{}" else UNLIKE


def _group_and_value(group: Group, value: str, written: str, algebra: Algebra | None) -> Decision | None:
    """A set of one element is that element, an interval may be an inequality; other values are not several at once."""
    if len(group.items) == 1 and key(group.items[0]) != r"\emptyset":
        return decide(group.items[0], value, algebra)
    if not is_relation(value) and not _SET.search(value):
        return UNLIKE
    return algebra(written, value) if algebra else None
