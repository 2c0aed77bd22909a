"""Charts as SVG for the middle of a page: matplotlib draws, and its output is made small, themed and safe.

Colors are drawn as sentinels that become CSS variables, so that one chart suits light and dark; foreign texts are
drawn as numbered placeholders and put in as XML text afterwards, so that no font, no math parser and no markup meets
them. The bytes depend on nothing but the arguments. Lines and texts are placed on the figure itself, in its own units:
a report has hundreds of panels, and a full pair of axes for each would take ten times as long.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator
from matplotlib.transforms import IdentityTransform

from ..text import count, one_line, plain, visible

MARKERS = "osD^vPX"  # say what the color says once more, and so do the dashes
DASHES = ("", "6 2", "2 1.5", "7 2 1.5 2", "4 1.5", "9 2.5", "1 1.5")
STYLES = len(MARKERS)  # lines that one panel can tell apart
BASELINE = STYLES  # the style of a line to compare with: gray
WIDTHS = {"half": 440, "middle": 640, "full": 900}  # in SVG units, which are CSS pixels at the size drawn
LEFT, RIGHT, ABOVE = 40, 8, 24  # room for the numbers along y, at the right edge, and for a panel's title

_INK, _SOFT, _GRID = "#010001", "#010002", "#010003"
_SENTINELS = {f"#0200{i:02x}": f"var(--series-{i + 1})" for i in range(STYLES)}
_SENTINELS |= {f"#0200{BASELINE:02x}": "var(--faint)"}
_SENTINELS |= {_INK: "var(--ink)", _SOFT: "var(--soft)", _GRID: "var(--grid)"}
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "lagbench", "font.size": 10, "path.simplify": False}
_XLINK = "{http://www.w3.org/1999/xlink}href"


@dataclass(frozen=True)
class Line:
    """One objective's points, in the order of x; None is a gap. `keys` name the points' places in the chart's table."""

    name: str
    style: int
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    keys: tuple[str, ...]
    says: tuple[str, ...]
    """Of each point, where it is pointed at and in the table."""
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    form: Literal["line", "steps", "points"] = "line"
    spread: Literal["band", "bars"] = "band"


@dataclass(frozen=True)
class Panel:
    """One pair of axes; `low` and `high` are the range of y."""

    title: str
    x_label: str
    lines: tuple[Line, ...]
    low: float
    high: float
    log: bool = False
    ticks: tuple[tuple[float, str], ...] = ()
    """Places and texts along x; none: round numbers."""
    guides: tuple[tuple[float, str], ...] = ()
    """Horizontal lines to compare with."""
    own_title: bool = False
    """Whether the title names whose panel it is, not what is measured."""
    marked: bool = True
    """Whether points have markers, which say what they are when pointed at."""


@dataclass(frozen=True)
class _Scale:
    """From values to SVG units, linear or logarithmic."""

    low: float
    high: float
    start: float
    length: float
    log: bool = False

    def __call__(self, values: Sequence[float | None]) -> np.ndarray:
        """Places [N]; NaN for None, and on a logarithmic scale for what is not positive. Cut to the range."""
        known = np.array([math.nan if value is None else value for value in values], dtype=float)
        low, high = self.low, self.high
        if self.log:
            known = np.log(np.where(known > 0, known, math.nan))
            low, high = math.log(low), math.log(high)
        return self.start + self.length * np.clip((known - low) / (high - low), 0, 1)

    def round_numbers(self, most: int) -> list[float]:
        """About so many round numbers within the range."""
        locator = LogLocator(numticks=most) if self.log else MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])
        slack = 1e-9 * (self.high - self.low)
        return [
            float(v) for v in locator.tick_values(self.low, self.high) if self.low - slack <= v <= self.high + slack
        ]


def spans_orders(lines: Sequence[Line]) -> bool:
    """Whether the values are so far apart that only a logarithmic axis shows the small ones.

    Not where one is zero or, beside the largest, nothing but a rounding error: such an axis would show little else.
    """
    values = [value for line in lines for value in line.y if value is not None and math.isfinite(value)]
    return bool(values) and 1e-6 * max(values) < min(values) < 0.02 * max(values)


def range_of(
    lines: Sequence[Line], guides: Sequence[float], bottom: float | None, top: float | None, log: bool
) -> tuple[float, float]:
    """Range of y that holds every point and guide, within `bottom` and `top`; `bottom`, where given, is its end.

    It holds intervals too, but one far wider than the points are apart is cut: with two seeds it would flatten them.
    """
    points = _known([value for line in lines for value in line.y] + list(guides), log)
    if log:
        return min(points, default=0.01) / 1.3, max(points, default=1.0) * 1.3
    low, high = min(points, default=0.0), max(points, default=1.0)
    reach = (high - low) or 0.1 * abs(high) or 0.5
    ends = _known([value for line in lines for value in (*line.low, *line.high)], log)
    low, high = max(min([low, *ends]), low - reach), min(max([high, *ends]), high + reach)
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return low - pad if bottom is None else bottom, high + pad if top is None else min(high + pad, top)


def _known(values: Sequence[float | None], log: bool) -> list[float]:
    """Those that can be drawn."""
    return [value for value in values if value is not None and math.isfinite(value) and (value > 0 or not log)]


def draw(
    id: str, title: str, description: str, panels: Sequence[Panel], columns: int, width: int, height: int, alike: bool
) -> Markup:
    """An `<svg>` element with these panels, `columns` of them side by side.

    `id` prefixes every id in it, `height` is that of one panel's axes. Panels that are `alike` have the same ticks,
    which are written at the left and below only.
    """
    places, wide = _columns(len(panels), columns, width, alike)
    slanted = not alike and any(_crowded(panel, wide) for panel in panels)
    below = 64 if slanted else 36
    rows = math.ceil(len(panels) / columns)
    gap = 10 if alike else below
    tall = rows * (ABOVE + height) + (rows - 1) * gap + below
    drawing = _Drawing(width, tall, slanted)
    for i, (panel, left) in enumerate(zip(panels, places, strict=True)):
        bottom = tall - (i // columns + 1) * (ABOVE + height) - (i // columns) * gap
        lowest, leftmost = i + columns >= len(panels), i % columns == 0
        drawing.add(panel, i, (left, bottom, wide, height), lowest or not alike, leftmost or not alike)
        if not alike or i == len(panels) - 1:
            drawing.name_x(panel.x_label, left + wide, bottom)
    return Markup(_refined(drawing.svg(), id, title, description, drawing.texts, drawing.says))


def _columns(panels: int, columns: int, width: int, alike: bool) -> tuple[list[float], float]:
    """Left edges of the panels' axes, and their width."""
    gap = 22 if alike else LEFT + 14
    wide = (width - LEFT - RIGHT - gap * (columns - 1)) / columns
    return [LEFT + (i % columns) * (wide + gap) for i in range(panels)], wide


def _crowded(panel: Panel, wide: float) -> bool:
    """Whether the texts along x are too long to stand side by side."""
    if len(panel.ticks) < 2:
        return False
    places = [place for place, _ in panel.ticks]
    unit = 0.9 * wide / ((max(places) - min(places)) or 1.0)
    reach = [6 * min(len(words), 16) / 2 + 3 for _, words in panel.ticks]
    return any((places[i + 1] - places[i]) * unit < reach[i] + reach[i + 1] for i in range(len(places) - 1))


class _Drawing:
    """A figure in the making, with the texts that its placeholders stand for and what its points say."""

    def __init__(self, width: int, height: int, slanted: bool) -> None:
        self._slanted = slanted
        self.texts: list[str] = []
        self.says: dict[str, tuple[str, ...]] = {}
        self._figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        self._figure.patch.set_visible(False)

    def svg(self) -> str:
        """What matplotlib writes."""
        written = io.StringIO()
        with matplotlib.rc_context(_SETTINGS):
            FigureCanvasSVG(self._figure).print_svg(written)
        return written.getvalue()

    def add(self, panel: Panel, i: int, place: tuple[float, float, float, float], x_texts: bool, y_texts: bool) -> None:
        """Draw panel number i at left, bottom, width, height; the numbers along its axes where asked for."""
        left, bottom, wide, high = place
        y = _Scale(panel.low, panel.high, bottom, high, panel.log)
        places = [x for line in panel.lines for x in line.x] + [x for x, _ in panel.ticks]
        least, most = min(places, default=0.0), max(places, default=1.0)
        pad = (0.05 if panel.ticks else 0.02) * ((most - least) or 1.0)
        x = _Scale(least - pad, most + pad, left, wide)

        ticks = y.round_numbers(4)
        self._segments([(left, at, left + wide, at) for at in y(ticks)], _GRID, 0.6)
        self._segments([(left, bottom, left + wide, bottom)], _GRID, 1)
        if y_texts:
            for value, at in zip(ticks, y(ticks), strict=True):
                self._text(left - 6, at - 3.5, plain(value), ha="right")
        indent = 0 if panel.own_title else 26  # a name stands above its panel, a measure above its numbers
        self._text(left - indent, bottom + high + 9, panel.title, most=round(wide / 5.8), color=_INK)
        along = panel.ticks
        if not along:
            along = tuple((value, count(value)) for value in x.round_numbers(max(2, round(wide / 75))))
        if x_texts:
            slant = {"rotation": 30, "rotation_mode": "anchor", "ha": "right"}
            for (_, words), at in zip(along, x([value for value, _ in along]), strict=True):
                self._text(
                    at, bottom - 14, words, most=16, **(slant if self._slanted and len(words) > 4 else {"ha": "center"})
                )
        else:
            self._segments([(at, bottom, at, bottom - 3) for at in x([value for value, _ in along])], _GRID, 0.8)
        for (_, words), at in zip(panel.guides, y([value for value, _ in panel.guides]), strict=True):
            self._add(Line2D([left, left + wide], [at, at], color=_SOFT, linewidth=1, linestyle=(0, (1, 2))))
            if words:
                self._text(left + wide, at + 3, words, ha="right", fontsize=9)
        for j, line in enumerate(panel.lines):
            self._line(line, f"line-{i}-{j}-{line.style}", x, y, panel.marked)

    def name_x(self, label: str, right: float, bottom: float) -> None:
        """Write what the axis along x is, below its numbers."""
        self._text(right, bottom - (58 if self._slanted else 30), label, most=60, ha="right")

    def _line(self, line: Line, gid: str, x: _Scale, y: _Scale, marked: bool) -> None:
        color = f"#0200{line.style:02x}"
        across, up = x(line.x), y(line.y)
        low, high = y(line.low), y(line.high)
        steps = line.form == "steps"
        if line.low and line.spread == "bars":
            known = np.isfinite(low) & np.isfinite(high)
            ends = zip(across[known], low[known], across[known], high[known], strict=True)
            self._segments(list(ends), color, 1.1, gid)
        elif line.low:
            for part in _runs(np.isfinite(low) & np.isfinite(high)):
                edges = [_stepped(across[part], edge[part], steps) for edge in (low, high)]
                outline = np.concatenate([np.column_stack(edges[0]), np.column_stack(edges[1])[::-1]])
                self._add(Polygon(outline, facecolor=color, alpha=0.14, linewidth=0), gid)
        if line.form != "points":
            wide = 1.1 if line.style == BASELINE else 1.6
            stroke = Line2D(*_stepped(across, up, steps), color=color, linewidth=wide, linestyle=_dashes(line.style))
            self._add(stroke, gid)
        if line.style != BASELINE and (marked or line.form == "points" or len(up) <= 8):
            shown = [k for k in _marked(len(up), line.style) if math.isfinite(up[k])]
            points = Line2D(across[shown], up[shown], color=color, linestyle="none", marker=MARKERS[line.style],
                            markersize=4.6, markeredgewidth=0)  # fmt: skip
            self._add(points, gid := f"{gid}-points")
            self.says[gid] = tuple(f"{line.name}, {line.says[k]}" for k in shown)

    def _segments(
        self, ends: Sequence[tuple[float, float, float, float]], color: str, width: float, gid: str = ""
    ) -> None:
        if ends:
            across = np.array([(x, other, math.nan) for x, _, other, _ in ends]).ravel()
            up = np.array([(y, other, math.nan) for _, y, _, other in ends]).ravel()
            self._add(Line2D(across, up, color=color, linewidth=width, solid_capstyle="butt"), gid)

    def _text(self, x: float, y: float, words: str, most: int = 40, color: str = _SOFT, **how: Any) -> None:
        self.texts.append(one_line(words, max(most, 8)))
        self._add(Text(x, y, f"@{len(self.texts) - 1}@", color=color, **({"fontsize": 10} | how)))

    def _add(self, artist: Any, gid: str = "") -> None:
        artist.set_transform(IdentityTransform())
        if gid:
            artist.set_gid(gid)
        self._figure.add_artist(artist)


def _runs(known: np.ndarray) -> Iterator[slice]:
    """Stretches of more than one True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(int), [0]])))
    return (slice(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start > 1)


def _stepped(x: np.ndarray, y: np.ndarray, steps: bool) -> tuple[np.ndarray, np.ndarray]:
    """The same corners, or those of a stair that keeps each value up to the next place."""
    return (np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]) if steps and len(x) else (x, y)


def _marked(points: int, style: int) -> list[int]:
    """Points with a marker: all of few, else about six, at other places for every style so that none hides another."""
    if points <= 16:
        return list(range(points))
    every = points // 6
    return list(range((2 * style) % every, points, every))


def _dashes(style: int) -> tuple[float, tuple[float, ...] | None]:
    if style == BASELINE:
        return 0, (3, 2)
    return 0, tuple(map(float, DASHES[style].split())) or None


def _refined(
    svg: str, id: str, title: str, description: str, texts: Sequence[str], says: dict[str, tuple[str, ...]]
) -> str:
    """The drawing without what a page does not need: metadata, unused ids, empty groups, decimals nobody sees."""
    root = ElementTree.fromstring(svg)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    for element in root.iter():
        _refine_element(element, id, used, texts, says)
    _flatten(root)
    named = {"viewBox": root.get("viewBox", ""), "role": "img", "aria-labelledby": f"{id}-title {id}-desc"}
    root.attrib = named
    for i, (tag, words) in enumerate((("title", title), ("desc", description))):
        child = ElementTree.Element(tag, id=f"{id}-{tag}")
        child.text = visible(words)
        root.insert(i, child)
    return ElementTree.tostring(root, encoding="unicode")


def _refine_element(
    element: ElementTree.Element, id: str, used: set[str], texts: Sequence[str], says: dict[str, tuple[str, ...]]
) -> None:
    element.tag = element.tag.rpartition("}")[2]
    element.tail = None
    element.text = _replaced(element.text, texts) if element.tag in ("text", "title") else None
    name = element.attrib.pop("id", "")
    if name in used:
        element.set("id", f"{id}-{name}")
    elif name.startswith("line-"):
        element.set("class", f"line s{int(name.split('-')[3]) + 1}")
        points = [child for child in element.iter() if child.tag.endswith("}use")]
        if len(points) == len(says.get(name, ())):
            for point, words in zip(points, says.get(name, ()), strict=True):
                ElementTree.SubElement(point, "title").text = visible(words)
    if _XLINK in element.attrib:
        element.set("href", f"#{id}-{element.attrib.pop(_XLINK)[1:]}")
    if "clip-path" in element.attrib:
        element.set("clip-path", element.attrib["clip-path"].replace("url(#", f"url(#{id}-"))
    for key in ("d", "x", "y", "width", "height", "transform"):
        if key in element.attrib:
            element.set(key, _rounded(element.attrib[key]))
    if "style" in element.attrib:
        style = re.sub(r"#0[12]00[0-9a-f]{2}", lambda found: _SENTINELS[found[0]], element.attrib["style"])
        style = re.sub(r"font-family:[^;]*;?|font-size: 10px;?|fill: var\(--soft\);?", "", style)  # the page's own
        style = re.sub(r"\s*([:;])\s*", r"\1", style).strip("; ")
        element.set("style", style)
        if not style:
            del element.attrib["style"]
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]


def _replaced(text: str | None, texts: Sequence[str]) -> str | None:
    found = re.fullmatch(r"@(\d+)@", text or "")
    return texts[int(found[1])] if found else text


def _rounded(numbers: str) -> str:
    digits = 1 if len(numbers) > 400 else 2  # a marker is small, and so is its path
    short = re.sub(r"-?\d+\.\d+", lambda found: f"{round(float(found[0]), digits):g}", numbers)
    return re.sub(r"\s*([MLQCz])\s*", r"\1", " ".join(short.split()))


def _flatten(element: ElementTree.Element) -> None:
    """Groups that say nothing give way to what they hold; metadata and style sheets are dropped."""
    for child in list(element):
        _flatten(child)
        if child.tag in ("metadata", "style") or (child.tag in ("g", "defs") and not len(child)):
            element.remove(child)
        elif child.tag == "g" and not child.attrib:
            place = list(element).index(child)
            element.remove(child)
            for offset, inner in enumerate(child):
                element.insert(place + offset, inner)
