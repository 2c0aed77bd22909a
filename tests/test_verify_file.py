"""`lagbench verify`: files of answers graded, labels compared, what does not fit told in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]
LINES = [
    {"gold": "72", "pred": "so it is 72.0", "expected": True},
    {"gold": r"\boxed{x+1}", "pred": "$1+x$", "expected": True},
    {"gold": 5, "pred": "4=5", "expected": False},
    {"gold": "5", "response": "so y = 5", "expected": True},  # labelled as a last number would be graded
    {"gold": "5", "response": r"<think>\boxed{6}</think> \boxed{5}", "expected": False},  # wrongly labelled
    {"gold": "7", "pred": "7", "expected": False},
    {"gold": "1/3", "response": "#### 0.333333", "note": "other fields and no label"},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def test_json(lagbench_here: Command, file: Path) -> None:
    found = lagbench_here("verify", str(file), "--json", "--second-opinion", "--workers", "1")
    report = json.loads(found.stdout)
    rows = report.pop("rows")
    assert found.returncode == 0 and found.stderr == ""
    assert report == {
        "n": 7,
        "correct": 5,
        "agreement": 0.5,
        "false_positives": 2,
        "false_negatives": 1,
        "timeouts": 0,
        "unparsed": 1,
        "methods": {"exact": 2, "guard": 1, "number": 2, "symbolic": 1, "unparsed": 1},
        "second_opinion": {"read": 5, "disagreeing": 1, "disagreement": 0.2},
    }
    assert [row["answer"] for row in rows] == ["72.0", "$1+x$", "4=5", None, "5", "7", "0.333333"]
    assert [row["second_opinion"] for row in rows] == [True, True, None, None, True, True, False]
    assert rows[4]["ms"] >= 0
    assert {key: value for key, value in rows[4].items() if key != "ms"} == {
        "line": 5,
        "gold": "5",
        "answer": "5",
        "correct": True,
        "method": "exact",
        "expected": False,
        "second_opinion": True,
    }
    assert "expected" not in rows[6]


def test_text(lagbench_here: Command, file: Path) -> None:
    found = lagbench_here("verify", str(file), "--second-opinion", "--workers", "1").stdout.splitlines()
    assert found == [
        "7 answers, 5 right; timeouts 0, unparsed 1",
        "decided by exact 2, guard 1, number 2, symbolic 1, unparsed 1",
        "agreement with `expected` 0.5000: false positives 2, false negatives 1",
        '  line 4: false negative, gold "5", answer null (unparsed)',
        '  line 5: false positive, gold "5", answer "5" (exact)',
        '  line 6: false positive, gold "7", answer "7" (exact)',
        "second opinion on 5 of 7; disagreement 0.2000",
        '  line 7: wrong instead, gold "1/3", answer "0.333333" (number)',
    ]


def test_without_labels_there_is_no_agreement(lagbench_here: Command, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"gold": "5", "pred": "5"}\n')
    report = json.loads(lagbench_here("verify", str(path), "--json").stdout)
    assert [report[key] for key in ("agreement", "false_positives", "false_negatives")] == [None] * 3
    assert "second_opinion" not in report
    assert len(lagbench_here("verify", str(path)).stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json\n", "{path}, line 1: not valid JSON in UTF-8"),
        (
            '{"gold": "5", "pred": "5"}\n[1]\n',
            "{path}, line 2: expected an object with the fields of a problem, got [1]",
        ),
        ('{"pred": "5"}\n', "{path}, line 1: fields pred; expected gold and one of pred and response"),
        (
            '{"gold": "5", "pred": "5", "response": "5"}\n',
            "{path}, line 1: fields gold, pred, response; expected gold and one of pred and response",
        ),
        ('{"gold": "5", "pred": null}\n', "{path}, line 1: pred=null is not valid: expected text or a number"),
        (
            '{"gold": "5", "pred": "5", "expected": "yes"}\n',
            '{path}, line 1: expected="yes" is not valid: expected true or false',
        ),
        ('{"gold": "5", "pred": NaN}\n', "{path}, line 1: pred=NaN is not valid: expected text or a number"),
        ('\n{"gold": "5"}\n', "{path}, line 2: fields gold; expected gold and one of pred and response"),
        ("", "{path}: the file is empty; expected lines of {{gold, pred}} or {{gold, response}}"),
        (None, "{path}: No such file or directory"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    lagbench_here: Command, tmp_path: Path, text: str | None, message: str
) -> None:
    path = tmp_path / "answers.jsonl"
    if text is not None:
        path.write_text(text)
    found = lagbench_here("verify", str(path))
    assert found.returncode == 2 and found.stdout == ""
    assert found.stderr.startswith("error: " + message.format(path=path)) and found.stderr.count("\n") == 1


def test_gold_answers_beside_responses_are_used_as_in_a_run(lagbench_here: Command, tmp_path: Path) -> None:
    golds = ["at least 7", "1 million", "the line $y=2x$", r"2 \text{ or more}"]
    rows = [{"gold": gold, "response": rf"\boxed{{{gold}}}", "expected": True} for gold in golds]
    rows += [{"gold": gold, "pred": gold, "expected": True} for gold in golds]
    rows += [{"gold": gold, "response": r"\boxed{7}", "expected": False} for gold in ("at least 7", "7 million")]
    rows += [{"gold": gold, "pred": "5", "expected": False} for gold in ("not 5", "5 or more", "more than 5")]
    rows += [{"gold": "5", "pred": pred, "expected": False} for pred in ("between 5 and 6", "x is at least 5")]
    path = tmp_path / "answers.jsonl"
    path.write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    report = json.loads(lagbench_here("verify", str(path), "--json").stdout)
    assert report["agreement"] == 1 and [row["line"] for row in report["rows"]] == list(range(1, 2 * len(rows), 2))
