"""What the attempts at an exam come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..statistics.intervals import Estimate
from .metrics import by_group, scores

Line = Mapping[str, Any]  # a problem and its attempts, as a file of attempts holds them


def by_exam(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """The lines of every exam, in order."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line["exam"], []).append(line)
    return found


def summarize(lines: Sequence[Line]) -> dict[str, Any]:
    """Scores of one exam with their intervals over its problems, by level and subject too, and what went unread."""
    flat = [attempt for line in lines for attempt in line["attempts"]]
    correct = np.array([[attempt["verdict"]["correct"] for attempt in line["attempts"]] for line in lines])  # [M, n]
    clusters = np.array([[attempt["cluster"] for attempt in line["attempts"]] for line in lines])  # [M, n]
    return {
        "problems": len(lines),
        "samples": correct.shape[1],
        "mean_tokens": float(np.mean([attempt["tokens"] for attempt in flat])),
        "truncated_fraction": float(np.mean([not attempt["stopped"] for attempt in flat])),
        "unparsed_fraction": float(np.mean([attempt["verdict"]["method"] == "unparsed" for attempt in flat])),
        "timeouts": sum(attempt["verdict"]["method"] == "timeout" for attempt in flat),
        "scores": _plain(scores(correct, clusters)),
        "by_level": _by("level", lines, correct, clusters),
        "by_subject": _by("subject", lines, correct, clusters),
    }


def _by(label: str, lines: Sequence[Line], correct: np.ndarray, clusters: np.ndarray) -> dict[str, Any]:
    """The same scores within each level or subject; nothing where the task names none."""
    labels = [line[label] for line in lines]
    if not any(labels):
        return {}
    groups = by_group(labels, correct, clusters)
    return {name: {"problems": group.problems, "scores": _plain(group.scores)} for name, group in groups.items()}


def _plain(scores: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: dataclasses.asdict(estimate) for name, estimate in scores.items()}
