"""Answers written to hang, blow up or crash a grader: a verdict each, in time and memory, the next ones unharmed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from lagbench.harness.types import Problem, Task, Verdict
from lagbench.harness.verify import Verifier

TOWERS = [
    "9^{9^9}", "10^{10^{10}}", "2^{2^{100}}", "9^{9^{9^9}}", "2^{2^{2^{24}}}", "x>2^{2^{2^{24}}}", "-9^{9^9}",
    r"\frac{1}{9^{9^9}}", "10^{10^6}!", "(10^6)!", "1000000000!", "10^9!", "((9!)!)!", "9!!!!",
    r"2^{10^7}-2^{10^7}+5", "7^{7^{7}} + 1", r"\left(10^{100}\right)^{10^{100}}", "1.5^{10^9}",
    r"(\frac{3}{2})^{10^8}", "10^{-10^{10}}", "9**9**9", r"e^{10^{10}}", r"\sqrt{9^{9^9}}",
    r"3 \uparrow\uparrow\uparrow 3", "9^9^9^9", r"\{9^{9^9}, 5\}", "x = 9^{9^9}",
]  # fmt: skip
COUNTS = [
    r"\binom{1000000000}{500000000}", r"\binom{10^9}{5 \cdot 10^8}", r"\prod_{k=1}^{10^6} k",
    r"\prod_{k=1}^{1000000} (x+k)", r"\sum_{k=1}^{10^9} \frac{1}{k}", r"\sum_{k=1}^{10^9} k^k",
    r"\sum_{n=0}^{\infty} \frac{1}{n!}", r"\sum_{i=1}^{100}\sum_{j=1}^{100}\sum_{k=1}^{100} \frac{1}{i+j+k}",
    r"\int_0^1 x^{x^{x^x}} dx", r"\int_0^\infty e^{-x^2}\sin(x^3)\log(x) dx", r"\int\int\int\int x^y dx dy dz dw",
    r"\lim_{n\to\infty} \left(1+\frac{1}{n}\right)^{n^2}", r"\log_{2}{(2^{2^{2^{30}}})}", r"\Gamma(10^8)",
    r"\phi(10^{50})", r"\gcd(10^{100}, 10^{90})", r"10^{1000} \mod 7",
]  # fmt: skip
POLYNOMIALS = [
    "(x+1)^{3000}", "(x+y+z)^{200}", "(x+1)^{100}(x+2)^{100}(x+3)^{100}", "((x+1)^{99}+1)^{99}",
    r"(\sqrt{x}+\sqrt{y})^{500}", r"\left(\sum_{k=1}^{50} x^k\right)^{50}", "x^{1000000}", "x^{10^{10}}",
    r"\frac{x^{5000}-1}{x-1}", r"\sqrt{2+\sqrt{2+\sqrt{2+\sqrt{2+\sqrt{2}}}}}",
    r"\sin(\cos(\tan(\sin(\cos(\tan(x))))))", r"\sin^{50}(x)+\cos^{50}(x)",
    r"\frac{1}{1+\frac{1}{1+\frac{1}{1+\frac{1}{x}}}}", "+".join(f"x^{{{k}}}" for k in range(200)),
    "".join(f"(x+{k})" for k in range(60)), "+".join(["x"] * 500), "+".join(rf"\sqrt{{{k}}}" for k in range(2, 40)),
    r"x^5 - x - 1 = 0", r"a^2+b^2+c^2+d^2+e^2 = ab+bc+cd+de+ea",
    r"\begin{vmatrix}" + r"\\".join("&".join(f"a_{{{i}{j}}}" for j in range(7)) for i in range(7)) + r"\end{vmatrix}",
    r"\begin{pmatrix}" + r"\\".join("&".join("1" * 9) for _ in range(30)) + r"\end{pmatrix}",
]  # fmt: skip
SHAPES = [
    "(" * 60 + "1" + ")" * 60, "{" * 20 + "1" + "}" * 20, "{" * 12 + "1" + "}" * 12, "(" * 12 + "x" + ")" * 12,
    r"\frac{1}{" * 50, r"\frac{1}{" * 50 + "1" + "}" * 50, r"\sqrt{" * 40 + "2" + "}" * 40, "[" * 500, "(" * 100_000,
    "{" * 100_000, "}" * 1000, r"\left(" * 30 + "1" + r"\right)" * 30, "|" * 60 + "x" + "|" * 60, r"\boxed{" * 14_000,
    r"\boxed{" * 500 + "5" + "}" * 500, "1" * 100_000, "1" * 1999, "-" * 900 + "1", "+" * 900 + "1",
    "1," * 500 + "1", r"\{" + ",".join(map(str, range(450))) + r"\}", ",".join(f"x^{k}" for k in range(300)),
    "(1,2)," * 300, "x+" * 50_000, "1 " * 50_000, "1 " * 600, r"\[ " * 50_000, r"\(" * 50_000, "$" * 100_000,
    " " * 100_000, "a" * 100_000, "word " * 380, "^" * 1500, "_" * 1500, "\\" * 1501, "\\\\" * 700, "=" * 1500,
    "x=" * 900 + "5", "5" + "=5" * 900, "!" * 1500, "5" + "!" * 1500, "%" * 1900, "1/" * 900 + "1", "1:" * 900 + "1",
    "1^" * 500 + "1", r"\text{" * 300 + "}" * 300, r"\pm" * 400 + "1", r"\ldots" * 300, ".5" * 400,
    "5" + "\u00b2" * 400, "\u221a" * 700 + "5", "\x00\x01\ufffd" * 300, "\U0001d7d9" * 400, "\u0660\u0661",
    r"\input{/etc/passwd}", "__import__('os').system('true')", "1 if True else exec('5')", "{}".join("5" * 600),
    r"\begin{cases}" * 100, r"\frac" * 400, r"\sqrt" * 400, "1e999999999", "1e-999999999", "0x" + "f" * 1500,
    "9" * 150 + "^{" + "9" * 150 + "}",
]  # fmt: skip
ANSWERS = TOWERS + COUNTS + POLYNOMIALS + SHAPES
SLOW = r"\int_0^\infty e^{-x^2}\sin(x^3)\log(x) dx"  # known to meet the alarm
LIMIT_S, LIMIT_KIB = 6, 1 << 20


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(Task((), ()), workers=2) as verifier:
        verifier.compare(["x+1", "x+1"], ["1+x", "x+1+0"])
        yield verifier


def test_every_answer_gets_a_verdict_in_time_and_memory(verifier: Verifier) -> None:
    """Of the answers that equal their gold answer in the end, none is refused."""
    assert len(ANSWERS) >= 90
    verdicts = verifier.compare(["5"] * len(ANSWERS), ANSWERS)
    assert max(verdict.ms for verdict in verdicts) < 1000 * LIMIT_S
    right = [answer[:9] for answer, verdict in zip(ANSWERS, verdicts, strict=True) if verdict.correct]
    assert right == ["x=x=x=x=x", "5=5=5=5=5"]
    for worker in verifier._workers._workers:
        status = Path(f"/proc/{worker.process.pid}/status").read_text()
        assert int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) < LIMIT_KIB
    assert verifier.compare(["x+2"], ["2+x"])[0].correct


@pytest.mark.parametrize("gold", ["x^2+1", r"\frac{\pi}{6}", "(1,2)"])
def test_towers_are_refused_without_being_built(verifier: Verifier, gold: str) -> None:
    start = time.monotonic()
    assert not any(
        verdict.correct or verdict.method == "timeout" for verdict in verifier.compare([gold] * 20, TOWERS[:20])
    )
    assert time.monotonic() - start < LIMIT_S


def test_a_timeout_harms_neither_neighbors_nor_what_follows(verifier: Verifier) -> None:
    golds, answers = ["x+5", "7", "x+6", "7"], ["5+x", SLOW, "6+x", SLOW + "+0"]
    processes = [worker.process.pid for worker in verifier._workers._workers]
    verdicts = verifier.compare(golds, answers)
    assert [worker.process.pid for worker in verifier._workers._workers] == processes  # the alarm was enough
    assert [verdict.method for verdict in verdicts] == ["symbolic", "timeout", "symbolic", "timeout"]
    assert (golds[0], answers[0]) in verifier._known and (golds[1], answers[1]) not in verifier._known
    start = time.monotonic()
    assert verifier.compare(["x+8"], ["8+x"])[0].correct and time.monotonic() - start < 1


def test_a_timeout_among_clusters_ends(verifier: Verifier) -> None:
    assert verifier.clusters([["7", SLOW]]) == [[0, 1]]


@pytest.mark.timeout(60, method="signal")
def test_from_a_thread_under_an_alarm(verifier: Verifier) -> None:
    found: list[Verdict] = []
    thread = Thread(target=lambda: found.extend(verifier.compare(["8"] * len(TOWERS), TOWERS)))
    thread.start()
    thread.join(50)
    assert len(found) == len(TOWERS) and not any(verdict.correct for verdict in found)


@pytest.mark.parametrize(
    "response",
    [
        r"\boxed{" * 14_000,
        r"\boxed{" * 5_000 + "5" + "}" * 5_000,
        r"\boxed{5} " * 20_000,
        "{" * 100_000,
        "#" * 100_000,
        "</think>" * 20_000,
        "\\" * 100_001,
        "a b\n" * 50_000,
        r"\boxed{" + "9" * 100_000 + "}",
    ],
    ids=lambda response: response[:9],
)
def test_long_responses_are_read_in_one_pass(verifier: Verifier, response: str) -> None:
    start = time.monotonic()
    verifier.grade([Problem("1", "?", "5", "made-up")], [response])
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("text", ["x is " + " " * 100_000 + "5", "so " + "." * 100_000 + "5"])
def test_long_sentences(verifier: Verifier, text: str) -> None:
    start = time.monotonic()
    verifier.bare([text])
    assert time.monotonic() - start < LIMIT_S
