"""Every task reads its own form and its authors', locally and from a hub, and refuses what is not the official set."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lagbench import InputError, Problem, Task, read_rows
from lagbench.harness.check.named import subjects
from lagbench.harness.data import data_digest
from lagbench.harness.listing import tasks as listed
from lagbench.harness.registry import TASKS, load_task

SHARED = ["gsm8k", "svamp", "multiarith", "math500", "aime24", "aime25", "amc23", "olympiadbench"]
SHARED += ["countdown", "chain_sum"]
PAGE = "https://artofproblemsolving.com/wiki/index.php/"
SVAMP = {"Body": "Ann has 6 pens", "Question": "How many?", "Answer": 6.0, "Type": "Addition"}
# Of each task: what it asks the hub for, a row in that form, and the problem that it is: id, question, answer, subject.
ON_HUBS = {
    "gsm8k": [
        ("openai/gsm8k", "main", "train", 7473, {"question": "Ten?", "answer": "10 * 1\n#### 1,080"}),
        ("openai/gsm8k", "main", "test", 1319, {"question": "Ten?", "answer": "#### 1,080"}),
        ("gsm8k-test-00000", "Ten?", "1080", ""),
    ],
    "svamp": [
        ("ChilleD/SVAMP", None, "train+test", 1000, SVAMP | {"ID": "chal-7"}),
        ("svamp-0007", "Ann has 6 pens. How many?", "6", "Addition"),
    ],
    "multiarith": [
        ("ChilleD/MultiArith", None, "train+test", 600, {"question": " Six? ", "final_ans": "6"}),
        ("multiarith-test-00000", "Six?", "6", ""),
    ],
    "math": [
        (
            "DigitalLearningGmbH/MATH-lighteval",
            None,
            "train",
            7500,
            {"problem": "?", "solution": r"\boxed{\frac{1}{2}}", "level": "Level 5", "type": "Algebra"},
        ),
        ("HuggingFaceH4/MATH-500", None, "test", 500, {"problem": "?", "answer": "1"}),
        ("math500-test-00000", "?", "1", ""),
    ],
    "math500": [
        (
            "HuggingFaceH4/MATH-500",
            None,
            "test",
            500,
            {"problem": "?", "answer": "1", "subject": "Algebra", "level": 2, "unique_id": "test/algebra/12.json"},
        ),
        ("math500-test-algebra-12", "?", "1", "Algebra"),
    ],
    "aime24": [
        (
            "HuggingFaceH4/aime_2024",
            None,
            "train",
            30,
            {"id": 60, "problem": "?", "answer": "025", "url": f"{PAGE}2024_AIME_II_Problems/Problem_7"},
        ),
        ("aime24-II-07", "?", "25", ""),
    ],
    "aime25": [
        ("math-ai/aime25", None, "test", 30, {"id": "0", "problem": "?", "answer": "70"}),
        ("aime25-01", "?", "70", ""),
    ],
    "amc23": [
        (
            "math-ai/amc23",
            None,
            "test",
            40,
            {"id": 0, "question": "?", "answer": 27.0, "url": f"{PAGE}2023_AMC_12A_Problems/Problem_1"},
        ),
        ("amc23-12A-01", "?", "27", ""),
    ],
    "minerva_math": [
        ("math-ai/minervamath", None, "test", 272, {"question": "?", "answer": "x=5"}),
        ("minerva_math-test-00000", "?", "x=5", ""),
    ],
    "olympiadbench": [
        (
            "knoveleng/OlympiadBench",
            None,
            "train",
            675,
            {"id": 1606, "question": "?", "context": "Let.", "final_answer": ["$-3$,$3$"], "subfield": "Algebra"},
        ),
        ("olympiadbench-1606", "Let.\n?", "-3,3", "Algebra"),
    ],
    "countdown": [
        ("Jiayi-Pan/Countdown-Tasks-3to4", None, "train[:32768]", 32768, {"nums": [1, 2], "target": 3}),
        ("Jiayi-Pan/Countdown-Tasks-3to4", None, "train[327680:328704]", 1024, {"nums": [1, 2], "target": 3}),
        (
            "countdown-test-00000",
            "Using the numbers [1, 2], create an equation that equals 3. You can use basic arithmetic operations "
            "(+, -, *, /) and each number can only be used once.",
            "",
            "",
        ),
    ],
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list]:
    """A hub that holds `rows` copies of a row under each id; returns what is asked for."""

    def make(*held: tuple) -> list:
        asked: list[tuple] = []

        def load_dataset(name: str, config: str | None, split: str) -> list[dict]:
            asked.append((name, config, split))
            return next([row] * rows for *where, rows, row in held if tuple(where) == asked[-1])

        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        return asked

    return make


@pytest.mark.parametrize("name", ON_HUBS)
def test_hub_forms(name: str, hub: Callable[..., list]) -> None:
    *held, expected = ON_HUBS[name]
    asked = hub(*held)
    task = load_task(name, {})
    assert asked == [where[:3] for where in held]
    assert sum(where[3] for where in held) == len(task.train) + len(task.test)
    problem = task.test[0]
    assert (problem.id, problem.question, problem.answer, problem.subject) == expected


def test_training_problems_of_math(hub: Callable[..., list]) -> None:
    train, test, _ = ON_HUBS["math"]
    hub(train, test)
    problem = load_task("math", {}).train[0]
    assert (problem.id, problem.answer, problem.level) == ("math-train-00000", r"\frac{1}{2}", "5")
    for solution, message in (
        (r"so \boxed 5 it is", ""),
        ("so 5", r"row 1: expected .boxed.* in the solution, got 'so 5'"),
    ):
        hub((*train[:4], {"problem": "?", "solution": solution}), test)
        if message:
            with pytest.raises(InputError, match=message):
                load_task("math", {})
        else:
            assert load_task("math", {}).train[0].answer == "5"


def test_a_wrong_number_of_rows_is_refused(tmp_path: Path, hub: Callable[..., list]) -> None:
    (tmp_path / "aime24_test.jsonl").write_text(3 * '{"problem": "?", "answer": "1"}\n')
    message = "3 rows in the test split of aime24, but its official set has 30; .*jsonl:FILE"
    with pytest.raises(InputError, match=message):
        load_task(f"aime24:{tmp_path}", {})
    hub(("a/copy", None, "train", 3, {"problem": "?", "answer": "1"}))
    with pytest.raises(InputError, match=message):
        load_task("aime24", {"data": "a/copy"})


@pytest.mark.parametrize(
    ("files", "options"),
    [
        (("own_test.jsonl",), {}),
        (("test.jsonl",), {}),
        (("own/test.json",), {}),
        (("Odd.json",), {"files": ["Odd.json"]}),
        (("train.jsonl", "test.jsonl"), {"hub_split": "train+test"}),
        (("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"), {"hub_split": "train"}),
        (("main/test-00000-of-00001.parquet",), {"config": "main"}),
    ],
)
def test_places_in_a_folder(tmp_path: Path, files: tuple[str, ...], options: dict) -> None:
    written = 0
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        rows = [{"problem": f"{written + i}?\u2028", "answer": "1"} for i in range(2)]
        written += 2
        if path.suffix == ".parquet":
            parquet, table = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow").Table
            parquet.write_table(table.from_pylist(rows), path)
        else:
            lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            path.write_text(json.dumps(rows, indent=1) if path.suffix == ".json" else lines)
    found = read_rows(str(tmp_path), "own", "test", rows=written, **options)
    assert [row.problem().question for row in found] == [f"{i}?\u2028" for i in range(written)]
    assert [row.problem().id for row in found] == [f"own-test-{i:05}" for i in range(written)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"problem": "?"', "line 1: not valid JSON in UTF-8"),
        (b'{"problem": "\xff", "answer": "1"}', "line 1: not valid JSON in UTF-8"),
        (b"[" * 100_000, "line 1: not valid JSON"),
        (b'{"problem": "?", "answer": 1' + 5000 * b"0" + b"}", "line 1: a number has more digits than Python reads"),
        (b'{"problem": "?", "answer": NaN}', "line 1: expected text or a number as answer, got NaN"),
        (b'{"problem": "?", "answer": "1", "level": Infinity}', "line 1: expected text or a number as level, got Inf"),
        (b"\n[1, 2]", r"line 2: expected an object with the fields of a problem, got \[1, 2\]"),
        (b'{"problem": "?", "gold": "1"}', "line 1: expected a field answer with text, the row holds problem, gold"),
        (b'{"answer": "1"}', "line 1: expected a field problem or question with text, the row holds answer"),
        (b'{"problem": "?", "answer": ["1"]}', r'line 1: expected text or a number as answer, got \["1"\]'),
        (
            b'{"problem": "?", "answer": "1", "split": "dev"}',
            "line 1: split='dev' is not valid; expected train or test",
        ),
    ],
)
def test_damaged_rows_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_task(f"jsonl:{path}", {})


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("countdown", {"meta": "text"}, "expected an object with nums and target as meta, got 'text'"),
        (
            "countdown",
            {"nums": [1, 2.5], "target": 3},
            r"expected whole numbers as nums and target, got \[1, 2.5\] and 3",
        ),
        ("countdown", {"nums": [1, True], "target": 3}, "expected whole numbers as nums and target"),
        (
            "olympiadbench",
            {"question": "?", "final_answer": [1]},
            r"expected a list of texts as final_answer, got \[1\]",
        ),
        ("olympiadbench", {"question": "?", "final_answer": []}, r"expected a list of texts as final_answer, got \[\]"),
        ("svamp", SVAMP | {"ID": "a"}, "expected an ID as in chal-1, got 'a'"),
    ],
)
def test_fields_of_a_wrong_type_are_named(name: str, row: dict, message: str, tmp_path: Path) -> None:
    size = {"countdown": 1024, "olympiadbench": 675, "svamp": 1000}[name]
    (tmp_path / f"{name}_test.jsonl").write_text(size * (json.dumps(row) + "\n"))
    with pytest.raises(InputError, match=rf"{name}_test.jsonl, line 1: {message}"):
        load_task(f"{name}:{tmp_path}", {})


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.json"])
def test_a_byte_order_mark_is_no_part_of_a_file(name: str, tmp_path: Path) -> None:
    row = {"problem": "?", "answer": "1"}
    (tmp_path / name).write_text(json.dumps([row] if name.endswith(".json") else row), encoding="utf-8-sig")
    assert load_task(f"jsonl:{tmp_path / name}", {}).test[0].answer == "1"


def test_damaged_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.parquet"
    path.write_bytes(b"no parquet")
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match="not valid parquet"):
        load_task(f"jsonl:{path}", {})
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"reading parquet needs an extra; run: pip install 'lagbench\[hub\]'"):
        load_task(f"jsonl:{path}", {})


def test_a_file_of_your_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [
        {"problem": "2 + 3?", "answer": 5},
        {"question": "Solve.", "answer": "x", "id": "r1", "split": "train", "level": 2, "type": "Algebra", "meta": {}},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    task = load_task(f"jsonl:{path}", {})
    ((train,), (test,)) = task.train, task.test
    assert (train.id, train.question, train.answer, train.level, train.subject) == ("r1", "Solve.", "x", "2", "Algebra")
    assert (test.id, test.answer) == ("jsonl-test-00000", "5")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("chain:foo", {}, "task chain:foo: chain reads no data; write chain$"),
        ("chain", {"data": ""}, "chain has no option 'data'; it has none"),
        ("gsm8k:", {}, "task gsm8k:: no data; write gsm8k:DATA"),
        ("gsm8k:a/b", {"data": "c"}, "task gsm8k:a/b: data=c is given, too; leave one of the two out"),
        ("jsonl", {}, "task jsonl: no data; write jsonl:DATA"),
        ("gsm9k:f", {}, "unknown task 'gsm9k' .did you mean 'gsm8k'"),
        ("jsonl:nope", {}, "jsonl:nope: no such file; expected one JSON object a line"),
        (
            "svamp:./nope",
            {},
            "data=./nope: no such folder; expected a folder or a file with the task's rows, or a hub id",
        ),
        ("svamp:no/such", {}, "data=no/such: no such folder, and as a hub id: "),
        (
            "svamp:.",
            {},
            r"data=.: the folder holds no test split of svamp; expected one of svamp_test.jsonl, train.jsonl and "
            r"test.jsonl, test.jsonl, .*, data/train-\*.parquet and data/test-\*.parquet, SVAMP.json",
        ),
    ],
)
def test_mistakes(text: str, options: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        load_task(text, options)


def test_without_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, extra in (("datasets", "svamp", "hub"), ("reasoning_gym", "chain_sum", "generated")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match=rf"run: pip install 'lagbench\[{extra}\]'"):
            load_task(name, {})


def test_listing() -> None:
    rows = {row["name"]: row for row in listed()}
    assert set(rows) >= {*ON_HUBS, *SHARED, "chain", "jsonl", "reasoning_gym"}
    assert all(row["rows"] and row["licence"] and row["source"] for row in rows.values())
    assert rows["gsm8k"]["rows"] == "train 7473, test 1319" and rows["jsonl"]["options"] == {"data": "required"}


def test_digest(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    digests = set()
    for answer in ("1", "2"):
        path.write_text(json.dumps({"problem": "?", "answer": answer}))
        digests |= {data_digest(load_task(f"jsonl:{path}", {})) for _ in range(2)}
    assert len(digests) == 2


def test_digest_of_all_that_a_problem_holds() -> None:
    first = Problem("p", "?", "1", "made")
    changes = [{"level": "2"}, {"subject": "2"}, {"facts": {"a": 1}}, {"facts": {"a": 2}}, {"answer": "2"}, {"id": "2"}]
    problems = [first, *(replace(first, **changed) for changed in changes)]
    assert len({data_digest(Task((), [problem])) for problem in problems}) == 7
    one, other = (replace(first, facts=facts) for facts in ({"a": 1, "b": 2}, {"b": 2, "a": 1}))
    assert data_digest(Task((), [one])) == data_digest(Task((), [other]))


def test_a_task_that_makes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def seven() -> int:
        return 7

    monkeypatch.setattr(TASKS, "_entries", TASKS.all())
    TASKS.register(seven)
    with pytest.raises(InputError, match=r"task seven: seven \(this process\) made a int; expected a Task"):
        load_task("seven", {})


def test_real_rows(shared_data: Path) -> None:
    """As the folder's README counts them."""
    sizes = {name: (len(task.train), len(task.test)) for name, task in subjects(SHARED, str(shared_data)).items()}
    assert sizes == {
        "gsm8k": (7473, 1319),
        "svamp": (0, 1000),
        "multiarith": (0, 600),
        "math500": (0, 500),
        "aime24": (0, 30),
        "aime25": (0, 30),
        "amc23": (0, 40),
        "olympiadbench": (0, 675),
        "countdown": (0, 1024),
        "chain_sum": (1000, 500),
    }


@pytest.mark.parametrize("name", ["gsm8k", "svamp", "math500", "aime24", "amc23"])
def test_upstream_and_own_form_are_the_same_problems(name: str, shared_data: Path) -> None:
    own = load_task(name, {"data": str(shared_data)})
    for folder in ("upstream", f"upstream/{name}"):
        upstream = load_task(f"{name}:{shared_data / folder}", {})
        assert (upstream.train, upstream.test) == (own.train, own.test)


def test_ids_levels_and_subjects_of_real_rows(shared_data: Path) -> None:
    first = {name: task.test[0] for name, task in subjects(SHARED, str(shared_data)).items()}
    assert first["aime24"].id == "aime24-I-01" and first["countdown"].facts == {"nums": [47, 76, 55, 60], "target": 24}
    assert (first["svamp"].id, first["olympiadbench"].id) == ("svamp-0001", "olympiadbench-1606")
    assert (first["math500"].level, first["math500"].subject) == ("2", "Precalculus")
    assert not any(
        "$" in problem.answer for problem in subjects(["olympiadbench"], str(shared_data))["olympiadbench"].test
    )
