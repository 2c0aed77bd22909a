r"""Where the final answer stands in a response: the last balanced `\boxed{}` after the last `</think>`, else `####`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

_TOKEN = re.compile(
    r"(?P<box>(?:\\|(?<![A-Za-z]))(?:boxed|fbox|framebox)\s*\{)"
    r"|\\boxed\s*(?P<bare>-?\d+(?:\.\d+)?|(?<=\s)[A-Za-z](?![A-Za-z]))|\\.|[{}]",
    re.DOTALL,
)
_CUT_OFF = re.compile(r"\s*(?:(?P<math>[^$\n]+?)(?:\$|\\\]|\\\))|(?P<number>[-+\u2212]?\d[\d.,/]*)\s*$)")
_JOINED = re.compile(r"(?:[\s$,;()]|\\[()\[\],;! ]|\\q?quad|\\text\s*\{|\}|\b(?:and|or)\b)*")
LONGEST_ANSWER = 2000  # characters


class Box(NamedTuple):
    """The characters from `start` to `end` are a box; one that never closes ends with the text."""

    start: int
    end: int
    content: str
    closed: bool


def after_thinking(response: str) -> str:
    """What follows the last `</think>`, or everything where there is none; nothing where a later `<think>` is open."""
    rest = response.rpartition("</think>")[2]
    return "" if "<think>" in rest else rest


def boxes(text: str) -> list[Box]:
    r"""Every `\boxed{...}` or `\fbox{...}` that closes and holds something, in order, and the last that does not close.

    One pass, whatever is nested. `boxed{}` without its backslash counts; escaped braces do not.

    >>> [box.content for box in boxes(r"\boxed{} \boxed{\frac{1}{2}} \boxed{3")]
    ['\\frac{1}{2}', '3']
    """
    opened: list[re.Match[str]] = []
    found = []
    for token in _TOKEN.finditer(text):
        if token["box"] or token[0] == "{":
            opened.append(token)
        elif token["bare"]:
            found.append(Box(token.start(), token.end(), token["bare"], True))
        elif token[0] == "}" and opened:
            start = opened.pop()
            content = text[start.end() : token.start()].strip()
            if start["box"] and content:
                found.append(Box(start.start(), token.end(), content, True))
    unclosed = [token for token in opened if token["box"]][-1:]
    found += [Box(token.start(), len(text), text[token.end() :].strip(), False) for token in unclosed]
    return sorted(found)


def final_answer(response: str) -> str | None:
    r"""The content of the last balanced box, else of one that was cut off, else the line behind the last `####`.

    Boxes that a comma, "and" or "or" joins are one answer. Behind other boxes one that never closes does not count.
    Alone, only a number at the end of the response is read, or what its formula's end delimits: anything else may have
    been meant to go on. None where there is no answer.

    >>> final_answer(r"<think>\boxed{1}</think> \boxed{2}"), final_answer("48 / 2\n#### 24\n"), final_answer("24")
    ('2', '24', None)
    """
    text = after_thinking(response)
    found = boxes(text)
    if closed := [box for box in found if box.closed]:
        return listed(text, closed, _JOINED.fullmatch)
    if found and (read := _CUT_OFF.match(found[-1].content)):
        content = (read["math"] or read["number"]).strip()
        return content if content.count("{") == content.count("}") else None
    _, mark, rest = text.rpartition("####")
    return rest.strip().partition("\n")[0].strip() or None if mark else None


def listed(text: str, boxes: Sequence[Box], joined: Callable[[str], object]) -> str:
    """The content of the last box and of those before it that what stands between them joins to it."""
    run = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if box.end > run[0].start or not joined(text[box.end : run[0].start].rstrip("\\")):
            break
        run.insert(0, box)
    return ", ".join(dict.fromkeys(box.content for box in run))
