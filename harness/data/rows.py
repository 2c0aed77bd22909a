"""One row of a problem set, in whatever form its authors publish it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ..types import InputError, Problem

_WHOLE = re.compile(r"(-?)0*(\d+)(?:\.0*)?")


@dataclass(frozen=True)
class Row:
    """A row of a split of a task's set: its number from 0 on, its fields, and `where` it is for an error."""

    task: str
    split: str
    index: int
    where: str
    fields: Mapping[str, Any]

    def get(self, *names: str) -> str:
        """The first of these fields that the row has, as text; empty if it has none."""
        found = next((self.fields[name] for name in names if self.fields.get(name) is not None), "")
        wanted = isinstance(found, str | int | float) and not isinstance(found, bool)
        if not wanted or (isinstance(found, float) and not isfinite(found)):
            raise InputError(f"{self.where}: expected text or a number as {' or '.join(names)}, got {shown(found)}")
        return str(found)

    def text(self, *names: str) -> str:
        """The same; an InputError if there is none, or nothing in it."""
        found = self.get(*names)
        if not found.strip():
            held = ", ".join(self.fields) or "nothing"
            raise InputError(f"{self.where}: expected a field {' or '.join(names)} with text, the row holds {held}")
        return found

    def problem(
        self,
        *,
        id: str = "",
        question: str = "",
        answer: str = "",
        level: str = "",
        subject: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> Problem:
        """The problem in this row. What is not given is read from the field of its name; two have another name, too:

        `problem` for the question and `type` for the subject. A row without an id is called by task, split and number.
        """
        return Problem(
            id=id or self.get("id") or f"{self.task}-{self.split}-{self.index:05}",
            question=question or self.text("problem", "question"),
            answer=answer or self.text("answer"),
            task=self.task,
            level=level or self.get("level"),
            subject=subject or self.get("type", "subject"),
            facts=facts or {},
        )


def plain_number(text: str) -> str:
    """A gold number without thousands commas, and a whole one without leading zeros or decimals; other text as it is.

    >>> plain_number("1,080"), plain_number("025"), plain_number("27.0"), plain_number("-0.5")
    ('1080', '25', '27', '-0.5')
    """
    bare = text.strip().replace(",", "")
    whole = _WHOLE.fullmatch(bare)
    return "".join(whole.groups()) if whole else bare


def shown(value: Any) -> str:
    """A value in an error, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) < 60 else text[:57] + "..."
