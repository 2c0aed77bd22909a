"""What a task holds, as a digest, and which questions are the same."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from ..types import Problem, Task

SPLITS = ("train", "test")
_TEXTS = ("id", "question", "answer", "level", "subject")
_MEANINGLESS = re.compile(r"\\[ ,;!]|[\s$?'\"`\u2018\u2019\u201c\u201d]|[.,:;](?!\d)|(?<!\d)[.,:;]")


def data_digest(task: Task) -> str:
    """sha256 over a task's prompt, stop strings and all that its problems hold, in order."""
    content = hashlib.sha256(repr((task.prompt, task.stops)).encode())
    for problem in (*task.train, *task.test):
        facts = sorted(problem.facts.items())
        content.update(repr((*(getattr(problem, name) for name in _TEXTS), facts)).encode())
    return content.hexdigest()


def question_key(question: str) -> str:
    """What questions share that differ in case, spaces and punctuation only. Signs of arithmetic count.

    >>> question_key("What is 7 + 0?") == question_key("what is  7+0"), question_key("7 + 0") == question_key("7 - 0")
    (True, False)
    """
    return _MEANINGLESS.sub("", unicodedata.normalize("NFKC", question).casefold())


def by_question(problems: Iterable[Problem]) -> dict[str, Problem]:
    """The first problem that asks each question."""
    found: dict[str, Problem] = {}
    for problem in problems:
        found.setdefault(question_key(problem.question), problem)
    return found


def overlaps(tasks: Mapping[str, Task]) -> Iterator[str]:
    """A line for every two splits of different tasks that share questions."""
    asked = {(name, split): by_question(getattr(task, split)) for name, task in tasks.items() for split in SPLITS}
    for ((first, split), known), ((second, other), others) in combinations(asked.items(), 2):
        both = [question for question in known if question in others]
        if first != second and both:
            example = f"{known[both[0]].id} and {others[both[0]].id}"
            yield f"{first} {split} and {second} {other} share {len(both)} questions, as {example}"
