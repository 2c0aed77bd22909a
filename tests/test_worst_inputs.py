"""Answers written to hang, blow up or crash a grader: a verdict each, in time, in memory, and the next ones unharmed."""

from __future__ import annotations

import pytest

from lagbench.harness.types import Task
from lagbench.harness.verify import Verifier

TOWERS = [
    "9^{9^9}", "10^{10^{10}}", "2^{2^{100}}", "9^{9^{9^9}}", "2^{2^{2^{24}}}", "x>2^{2^{2^{24}}}", "-9^{9^9}",
    r"\frac{1}{9^{9^9}}", "10^{10^6}!", "(10^6)!", "1000000000!", "10^9!", "((9!)!)!", "9!!!!", r"2^{10^7}-2^{10^7}+5",
    "7^{7^{7}} + 1", r"\left(10^{100}\right)^{10^{100}}", "1.5^{10^9}", r"(\frac{3}{2})^{10^8}", "10^{-10^{10}}", "9**9**9",
    r"e^{10^{10}}", r"\sqrt{9^{9^9}}", r"3 \uparrow\uparrow\uparrow 3", "9^9^9^9", r"\{9^{9^9}, 5\}", "x = 9^{9^9}",
]  # fmt: skip
COUNTS = [
    r"\binom{1000000000}{500000000}", r"\binom{10^9}{5 \cdot 10^8}", r"\prod_{k=1}^{10^6} k", r"\prod_{k=1}^{1000000} (x+k)",
    r"\sum_{k=1}^{10^9} \frac{1}{k}", r"\sum_{k=1}^{10^9} k^k", r"\sum_{n=0}^{\infty} \frac{1}{n!}",
    r"\sum_{i=1}^{100}\sum_{j=1}^{100}\sum_{k=1}^{100} \frac{1}{i+j+k}", r"\int_0^1 x^{x^{x^x}} dx",
    r"\int_0^\infty e^{-x^2}\sin(x^3)\log(x) dx", r"\int\int\int\int x^y dx dy dz dw", r"\lim_{n\to\infty} \left(1+\frac{1}{n}\right)^{n^2}",
    r"\log_{2}{(2^{2^{2^{30}}})}", r"\Gamma(10^8)", r"\phi(10^{50})", r"\gcd(10^{100}, 10^{90})", r"10^{1000} \mod 7",
]  # fmt: skip
POLYNOMIALS = [
    "(x+1)^{3000}", "(x+y+z)^{200}", "(x+1)^{100}(x+2)^{100}(x+3)^{100}", "((x+1)^{99}+1)^{99}", r"(\sqrt{x}+\sqrt{y})^{500}",
    r"\left(\sum_{k=1}^{50} x^k\right)^{50}", "x^{1000000}", "x^{10^{10}}", r"\frac{x^{5000}-1}{x-1}", r"\sqrt{2+\sqrt{2+\sqrt{2+\sqrt{2+\sqrt{2}}}}}",
    r"\sin(\cos(\tan(\sin(\cos(\tan(x))))))", r"\sin^{50}(x)+\cos^{50}(x)", r"\frac{1}{1+\frac{1}{1+\frac{1}{1+\frac{1}{x}}}}",
    "+".join(f"x^{{{k}}}" for k in range(200)), "".join(f"(x+{k})" for k in range(60)), "+".join(["x"] * 900),
    "+".join(rf"\sqrt{{{k}}}" for k in range(2, 40)), r"x^5 - x - 1 = 0", r"a^2+b^2+c^2+d^2+e^2 = ab+bc+cd+de+ea",
    r"\begin{vmatrix}" + r"\\".join("&".join(f"a_{{{i}{j}}}" for j in range(7)) for i in range(7)) + r"\end{vmatrix}",
    r"\begin{pmatrix}" + r"\\".join("&".join("1" * 9) for _ in range(30)) + r"\end{pmatrix}",
]  # fmt: skip
SHAPES = [
    "(" * 60 + "1" + ")" * 60, "{" * 20 + "1" + "}" * 20, "{" * 12 + "1" + "}" * 12, "(" * 12 + "x" + ")" * 12, r"\frac{1}{" * 50,
    r"\frac{1}{" * 50 + "1" + "}" * 50, r"\sqrt{" * 40 + "2" + "}" * 40, "[" * 500, "(" * 100_000, "{" * 100_000, "}" * 1000,
    r"\left(" * 30 + "1" + r"\right)" * 30, "|" * 60 + "x" + "|" * 60, r"\boxed{" * 14_000, r"\boxed{" * 500 + "5" + "}" * 500,
    "1" * 100_000, "1" * 1999, "-" * 1500 + "1", "+" * 1500 + "1", "1," * 900 + "1", r"\{" + ",".join(map(str, range(450))) + r"\}",
    ",".join(f"x^{k}" for k in range(300)), "(1,2)," * 300, "x+" * 50_000, "1 " * 50_000, "1 " * 900, r"\[ " * 50_000, r"\(" * 50_000,
    "$" * 100_000, " " * 100_000, "a" * 100_000, "word " * 380, "^" * 1500, "_" * 1500, "\\" * 1501, "\\\\" * 700, "=" * 1500,
    "x=" * 900 + "5", "5" + "=5" * 900, "!" * 1500, "5" + "!" * 1500, "%" * 1900, "1/" * 900 + "1", "1:" * 900 + "1", "1^" * 500 + "1",
    r"\text{" * 300 + "}" * 300, r"\pm" * 400 + "1", r"\ldots" * 300, ".5" * 800, "5" + "\u00b2" * 900, "\u221a" * 700 + "5", "\x00\x01\ufffd" * 300,
    "\U0001d7d9" * 400, "\u0660\u0661", r"\input{/etc/passwd}", "__import__('os').system('true')", "1 if True else exec('5')", "{}".join("5" * 600),
    r"\begin{cases}" * 100, r"\frac" * 400, r"\sqrt" * 400, "1e999999999", "1e-999999999", "0x" + "f" * 1500, "9" * 150 + "^{" + "9" * 150 + "}",
]  # fmt: skip
