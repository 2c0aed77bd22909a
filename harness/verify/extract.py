r"""Where the final answer stands in a response: the last balanced `\boxed{}` after the last `</think>`, else `####`."""

from __future__ import annotations

import re
from typing import NamedTuple

from .number import quantity
from .spelling import MONTH, tidy
from .structure import split
from .units import unit

_TOKEN = re.compile(r"(?P<box>(?:\\|(?<![A-Za-z]))(?:boxed|fbox)\s*\{)|\\.|[{}]", re.DOTALL)
_CUT_OFF = re.compile(r"\s*(?:(?P<math>[^$\n]+?)(?:\$|\\\]|\\\))|(?P<number>[-+\u2212]?\d[\d.,/]*)\s*$)")
_STATED = re.compile(r"final answer is", re.IGNORECASE)
_SEPARATOR = re.compile(r"\b(?:and|or)\b|[,;]")
_MATH = re.compile(r"\d|\$|\\\(|\\\[")
_FORMULA = re.compile(
    r"\$[^$]*\$|\\\(.*?\\\)|\\\[.*?\\\]|\\(?:text[a-z]*|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+", re.DOTALL
)
_WORD = re.compile(r"[^\W\d_]{3,}|\b(?:[Ss]o|is|we|it|of)\b|[\u3040-\u9fff]")
_FUNCTION = re.compile(r"sin|cos|tan|cot|sec|csc|log|exp|sqrt|inf|infinity|max|min|mod|gcd|lcm")
NEAR, SAME_SENTENCE = 10, 70  # characters between two boxes that give one answer together


class Box(NamedTuple):
    """The characters from `start` to `end` are a box; one that never closes ends with the text."""

    start: int
    end: int
    content: str
    closed: bool


def after_thinking(response: str) -> str:
    """What follows the last `</think>`, or everything where there is none."""
    return response.rpartition("</think>")[2]


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

    Of a box that never closes, only a number at the end of the response is read, or what its formula's end delimits:
    anything else may have been meant to go on. None where there is no answer.

    >>> final_answer(r"<think>\boxed{1}</think> \boxed{2}"), final_answer("48 / 2\n#### 24\n"), final_answer("24")
    ('2', '24', None)
    """
    text = after_thinking(response)
    found = boxes(text)
    if closed := [box for box in found if box.closed]:
        return closed[-1].content
    if found and (read := _CUT_OFF.match(found[-1].content)):
        content = (read["math"] or read["number"]).strip()
        return content if content.count("{") == content.count("}") else None
    _, mark, rest = text.rpartition("####")
    return rest.strip("\n").partition("\n")[0].strip() or None if mark else None


def bare_answer(text: str) -> str:
    r"""The answer in a text that may be no more than an answer: its last boxes, else all of it.

    As math-verify reads them, boxes that follow each other as a list are one answer, and a "final answer is" after
    them counts instead.

    >>> bare_answer(r"\boxed{1} and \boxed{2}"), bare_answer("$x=1$")
    ('1, 2', '$x=1$')
    """
    text = after_thinking(text).strip()
    found = boxes(text)
    if not found:
        return text
    if stated := _STATED.search(text, found[-1].end):
        return text[stated.start() :]
    closed = [box for box in found if box.closed] or found
    run = [closed[-1]]
    for box in reversed(closed[:-1]):
        between = text[box.end : run[0].start].rstrip("\\")
        if box.end > run[0].start or not _together(between, box, run[0]):
            break
        run.insert(0, box)
    contents = dict.fromkeys(box.content for box in run)
    return ", ".join(contents) if len(contents) > 1 else run[0].content


def is_prose(text: str) -> bool:
    """Whether an answer stands somewhere in sentences, so that it has to be found in them.

    Words alone are an answer, as are a date, and numbers with units or things that are counted.

    >>> [is_prose(text) for text in ("So $x$ is 5", "5 apples", "no solution", "June 20", "x=1 or x=2")]
    [True, False, False, False, False]
    """
    if not _MATH.search(text) or MONTH.search(text):
        return False
    items = split(tidy(text), ",")
    words = _WORD.findall(tidy(_FORMULA.sub(" ", text)))
    return any(not unit(word) and not _FUNCTION.fullmatch(word) for word in words) and not all(map(quantity, items))


def _together(between: str, box: Box, following: Box) -> bool:
    if len(between) < NEAR:
        return True
    return len(between) < SAME_SENTENCE and box.content != following.content and bool(_SEPARATOR.search(between))
