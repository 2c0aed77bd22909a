r"""One spelling for what means the same: Unicode signs, spacing, styles and the shorthands of LaTeX."""

from __future__ import annotations

import re
from functools import lru_cache

_GREEK = "alpha beta gamma delta epsilon theta lambda mu pi rho sigma tau phi omega"
_OTHER = "le ge ne approx pm times cdot cdot infty cup cap in emptyset ldots sqrt"
_NAMED = (
    "\u03b1\u03b2\u03b3\u03b4\u03b5\u03b8\u03bb\u03bc\u03c0\u03c1\u03c3\u03c4\u03c6\u03c9"
    "\u2264\u2265\u2260\u2248\u00b1\u00d7\u00b7\u22c5\u221e\u222a\u2229\u2208\u2205\u2026\u221a"
)
_SIGNS = str.maketrans(
    {chr(0xFF01 + i): chr(0x21 + i) for i in range(94)}  # full width
    | {sign: f"\\{name} " for sign, name in zip(_NAMED, f"{_GREEK} {_OTHER}".split(), strict=True)}
    | {sign: f"^{{{i}}}" for i, sign in enumerate("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")}
    | {chr(0x2080 + i): f"_{{{i}}}" for i in range(10)}
    | {"\u00bd": r"\frac{1}{2}", "\u2153": r"\frac{1}{3}", "\u00bc": r"\frac{1}{4}", "\u00be": r"\frac{3}{4}"}
    | dict.fromkeys("\u2212\u2013\u2010\u2011\ufe63", "-")
    | dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000\u200b\t\r\n", " ")
    | {"\u00b0": r"^{\circ}", "\u2032": "'", "\u00f7": "/", "\u2044": "/"}
)
_BOLD = r"(?<![\w)}\]])\*\*([^*]+)\*\*(?![\w({\[])"  # 2**3 is a power
_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\\\(?=[A-Za-z](?!.*matrix|.*array|.*cases))", r"\\"),  # escaped twice
        (_BOLD, r"\1"),
        (r"^\*\*|\*\*$", ""),
        (r"\^\s*\\prime|\^\s*\{\s*\\prime\s*\}", "'"),
        (r"(?<=\d)\s*,\s*\\!\s*(?=\d)", ""),  # thousands
        (r"\\?\$|(?<!\\)\\[()\[\]]|\\displaystyle|\\(?:boxed|fbox)(?=\s*\{)|\\!\s*", ""),
        (r"\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])\.?", ""),
        (r"\\q?quad|(?<!\\)\\[,;:>~ ]|~", " "),
        (r"\\(?:text(?:bf|it|rm|sf|tt|normal)|m?box|math(?:rm|bf|it|sf|tt|cal)|emph)\s*(?=\{)", r"\\text"),
        (r"\\text\s*\{([eid]|[^{}]*\d[^{}]*)\}", r"\1"),
        (r",?\s*\\text\s*\{\s*,?\s*(?:and|or)\s*\}|,?\s*(?<![A-Za-z\\])(?:and|or)(?![a-z])", ", "),
        (r"\s*\\text\s*\{\s*(?:percent(?:age)?|pct|\\?%)\s*\}|\s*\b(?:percent(?:age)?|pct)\b|(?<!\\)%", r"\\%"),
        (r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<![A-Za-z\\])infinity(?![A-Za-z])", r"\\infty "),
        (r"(?<=[\w)}])\*\*(\d+|[A-Za-z](?![A-Za-z]))", r"^{\1}"),
        (r"\^\s*-\s*(\d+)", r"^{-\1}"),
        (r"(?<=[)\]])\s*U\s*(?=[(\[])", r" \\cup "),
        (r"\{([^{}]*)\\choose(?![A-Za-z])([^{}]*)\}", r"\\binom{\1}{\2}"),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\\frac\s*(\d)\s*(\d)(?!\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s*(\d)\s*(?=\{)", r"\\frac{\1}"),
        (r"\\frac\s*\{([^{}]*)\}\s*(\d)", r"\\frac{\1}{\2}"),
        (r"\\frac\s+(?=\{)", r"\\frac"),
        (r"\\sqrt\s*(\[[^\]]*\])?\s*(\d+|[A-Za-z])", r"\\sqrt\1{\2}"),
        (r"\s*\{\s*([,:])\s*\}\s*", r"\1"),
        (r"\\(?:leq(?:slant)?|le)(?![A-Za-z])|<=", r"\\le "),
        (r"\\(?:geq(?:slant)?|ge)(?![A-Za-z])|>=", r"\\ge "),
        (r"\\neq(?![A-Za-z])", r"\\ne "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\lbrace(?![A-Za-z])", r"\\{"),
        (r"\\rbrace(?![A-Za-z])", r"\\}"),
        (r"\\varnothing|\\\{\s*\\\}", r"\\emptyset"),
        (r"\\(?:[lcdh]?dots[cbm]?)(?![A-Za-z])|\.\.\.+", r"\\ldots "),
        (r"\\degree|\^\s*\\circ|\^\s*\{\s*\\circ\s*\}", r"^{\\circ}"),
        (r"(?:^|(?<=[(,\[={]))\s*\+\s*/?\s*-", r"\\pm "),
        (r"(?:^|(?<=[(,\[={]))\s*\+\s*", ""),
    )
]
_BESIDE_CHINESE = re.compile(r"(?<=[\u3040-\u9fff])(?=[-+\d$])|(?<=[\d$])(?=[\u3040-\u9fff])")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_PLUS = re.compile(r"(?<=\s)\+(?=\d)")
_MONTH = r"\b(january|february|march|april|may|june|july|august|september|october|november|december)\b"
_DAY = r"\b(\d{1,2})(?:st|nd|rd|th)?\b"
DATE = re.compile(rf"(?:{_MONTH} {_DAY}|{_DAY} (?:of )?{_MONTH})(?:,? (\d{{4}}))?", re.IGNORECASE)
_NOTHING = re.compile(
    r"(?:there (?:is|are) )?no (?:real |integer |such )?(?:solutions?|roots?)(?: exists?)?|(?:the )?empty set|none"
)
_UNDEFINED = re.compile(r"dne|undefined|(?:the limit |it )?does not exist")
_SHORT_WORDS = ("no", "up", "am", "pm", "in", "on")  # any other two letters may be a product, in which case counts


@lru_cache(maxsize=1 << 14)
def tidy(text: str) -> str:
    r"""`text` as LaTeX without dollar signs, bold type, sizes or stray spacing, Unicode and shorthands spelled out.

    >>> tidy("**$\u22127$**."), tidy(r"\dfrac12"), tidy(r"\sqrt[3]2"), tidy(r"1{,}000\text{ and }3{:}45")
    ('-7', '\\frac{1}{2}', '\\sqrt[3]{2}', '1,000, 3:45')
    """
    text = " ".join(text.translate(_SIGNS).split())
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split()).rstrip(" .,;\\")


def plain(prose: str) -> str:
    """Sentences as math-verify reads them: no bold type, no plus sign, ASCII minus, spaces beside Chinese."""
    spaced = _BESIDE_CHINESE.sub(" ", prose.replace("\u2212", "-"))
    return _PLUS.sub("", re.sub(_BOLD, r"\1", spaced))


def untexted(text: str) -> str:
    r"""`text` with what stands in every `\text{}` in its place."""
    return _TEXT.sub(r"\1", text)


@lru_cache(maxsize=1 << 14)
def key(text: str) -> str:
    r"""What two answers have in common that are the same as text.

    Words regardless of case, months before or after their days, `no solution` as the empty set. A space between two
    digits stays: "7 2" is not 72. Compatible characters stay too: 5² is not 52.

    >>> key(r"\left( 1 ,\, x^{2} \right)"), key("June 20") == key("20 june"), key(r"\text{Even}"), key("No solution")
    ('(1,x^2)', True, 'even', '\\emptyset')
    """
    text = " ".join(untexted(tidy(text)).split())
    if _NOTHING.fullmatch(text.lower()):
        return r"\emptyset"
    if _UNDEFINED.fullmatch(text.lower()):
        return "undefined"
    if date := DATE.fullmatch(text):
        return " ".join(part.lower() for part in sorted(filter(None, date.groups())))
    if text.replace(" ", "").isalpha() and (len(text) > 2 or text.lower() in _SHORT_WORDS):
        return text.replace(" ", "").lower()
    text = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)
    return re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)
