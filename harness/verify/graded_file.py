"""Files of gold answers and predictions, graded line by line, and how well the verdicts agree with labels in them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.files import objects
from ..data.rows import shown
from ..types import InputError, Task
from .verifier import Verifier

EXPECTED = "lines of {gold, pred} or {gold, response}, where pred is an answer and response a whole response"
SLICE = 128  # lines that are graded together


@dataclass(frozen=True)
class Line:
    """A line of such a file; `response` tells whether `text` is a whole response, `expected` is its label if any."""

    number: int
    gold: str
    text: str
    response: bool
    expected: bool | None


def read(path: Path) -> list[Line]:
    """All lines of a file; the first that does not fit is named."""
    lines = [_line(where, row) for where, row in objects(path)]
    if not lines:
        raise InputError(f"{path}: the file is empty; expected {EXPECTED}")
    return lines


def grade(lines: Sequence[Line], workers: int, second_opinion: bool = False) -> Iterator[dict[str, Any]]:
    """For every line its number, gold answer, extracted answer, verdict and label, as soon as its slice is graded."""
    with Verifier(Task((), ()), workers) as verifier:
        for start in range(0, len(lines), SLICE):
            part = lines[start : start + SLICE]
            golds, answers = _answers(verifier, part)
            verdicts = verifier.compare(golds, answers)
            seconds = verifier.second_opinions(golds, answers) if second_opinion else None
            for i, (line, gold, verdict) in enumerate(zip(part, golds, verdicts, strict=True)):
                row = {"line": line.number, "gold": gold, "answer": verdict.answer, "correct": verdict.correct}
                row |= {"method": verdict.method, "ms": round(verdict.ms, 3)}
                row |= {} if line.expected is None else {"expected": line.expected}
                yield row | ({"second_opinion": seconds[i]} if seconds else {})


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts over graded lines; agreement and its errors are None where no line has a label.

    The second opinion's disagreement is among the lines that it could read, None if it could read none.
    """
    labelled = [row for row in rows if "expected" in row]
    wrong = Counter(row["correct"] for row in labelled if row["correct"] != row["expected"])
    methods = Counter(row["method"] for row in rows)
    found = {
        "n": len(rows),
        "correct": sum(row["correct"] for row in rows),
        "agreement": 1 - wrong.total() / len(labelled) if labelled else None,
        "false_positives": wrong[True] if labelled else None,
        "false_negatives": wrong[False] if labelled else None,
        "timeouts": methods["timeout"],
        "unparsed": methods["unparsed"],
        "methods": dict(sorted(methods.items())),
    }
    if rows and "second_opinion" in rows[0]:
        opinions = [row for row in rows if row["second_opinion"] is not None]
        against = sum(row["second_opinion"] != row["correct"] for row in opinions)
        rate = against / len(opinions) if opinions else None
        found["second_opinion"] = {"read": len(opinions), "disagreeing": against, "disagreement": rate}
    return found


def report(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The summary as lines to print, and each line of the file whose label or second opinion disagrees."""
    found = summary(rows)
    yield f"{found['n']} answers, {found['correct']} right; timeouts {found['timeouts']}, unparsed {found['unparsed']}"
    yield "decided by " + ", ".join(f"{method} {count}" for method, count in found["methods"].items())
    if found["agreement"] is not None:
        errors = f"false positives {found['false_positives']}, false negatives {found['false_negatives']}"
        yield f"agreement with `expected` {found['agreement']:.4f}: {errors}"
        for row in rows:
            if row.get("expected", row["correct"]) != row["correct"]:
                yield f"  line {row['line']}: false {'positive' if row['correct'] else 'negative'}, {_shown(row)}"
    if second := found.get("second_opinion"):
        rate = "" if second["disagreement"] is None else f"; disagreement {second['disagreement']:.4f}"
        yield f"second opinion on {second['read']} of {found['n']}{rate}"
        for row in rows:
            if row["second_opinion"] not in (None, row["correct"]):
                yield f"  line {row['line']}: {'right' if row['second_opinion'] else 'wrong'} instead, {_shown(row)}"


def _answers(verifier: Verifier, lines: Sequence[Line]) -> tuple[list[str], list[str | None]]:
    """Gold answers and answers: beside a response the gold answer is used as it is, as in a run."""
    bare = [line for line in lines if not line.response and line.gold != line.text]
    found = verifier.bare([text for line in bare for text in (line.gold, line.text)])
    pairs = {line.number: pair for line, pair in zip(bare, zip(found[::2], found[1::2], strict=True), strict=True)}
    made = [
        (line.gold, verifier.answer(line.text)) if line.response else pairs.get(line.number, (line.gold, line.text))
        for line in lines
    ]
    return [gold for gold, _ in made], [answer for _, answer in made]


def _shown(row: dict[str, Any]) -> str:
    return f"gold {shown(row['gold'])}, answer {shown(row['answer'])} ({row['method']})"


def _line(where: str, row: dict[str, Any]) -> Line:
    given = [key for key in ("pred", "response") if key in row]
    if "gold" not in row or len(given) != 1:
        raise InputError(f"{where}: fields {', '.join(row) or 'none'}; expected gold and one of pred and response")
    expected = row.get("expected")
    if expected not in (None, True, False):
        raise InputError(f"{where}: expected={shown(expected)} is not valid: expected true or false")
    return Line(
        int(where.rpartition(" ")[2]),
        _text(where, "gold", row["gold"]),
        _text(where, given[0], row[given[0]]),
        given[0] == "response",
        None if expected is None else bool(expected),
    )


def _text(where: str, field: str, value: Any) -> str:
    wrong = isinstance(value, bool) or not isinstance(value, (str, int, float))
    if wrong or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"{where}: {field}={shown(value)} is not valid: expected text or a number")
    return str(value)
