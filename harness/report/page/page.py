"""The page of a report: what the template is given, and how it is put together."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ..document import Report
from ..text import estimate, number_list, one_line, plain, share, visible
from . import tables
from .charts import DASHES, MARKERS
from .figures import figures
from .grids import compared, heat_maps, palette, win_matrices

PLACE = re.compile("\uffff(\\w+)\uffff")  # where a size is stated; no text of a report has this character left
_MARKS = {
    "o": '<circle r="3"/>',
    "s": '<path d="M-3-3h6v6h-6z"/>',
    "D": '<path d="M0-3.8 3.8 0 0 3.8-3.8 0z"/>',
    "^": '<path d="M0-3.6 3.6 3h-7.2z"/>',
    "v": '<path d="M0 3.6 3.6-3h-7.2z"/>',
    "P": '<path d="M-1.3-3.8h2.6v2.5h2.5v2.6h-2.5v2.5h-2.6v-2.5h-2.5v-2.6h2.5z"/>',
    "X": '<path d="M-3.5-1.8-1.8-3.5 0-1.7 1.8-3.5 3.5-1.8 1.7 0 3.5 1.8 1.8 3.5 0 1.7-1.8 3.5-3.5 1.8-1.7 0z"/>',
}


def to_html(report: Report) -> str:
    """One HTML file that holds the whole report, needs no other file and requests nothing.

    The same report gives the same bytes. Every text of it is escaped, and its invisible characters are written out;
    no number is left out besides those that the page says are in report.json.
    """
    script, styles = _read("page.js"), _read("page.css").replace("/* levels of color */", palette())
    drawn = figures(report)
    environment = Environment(
        autoescape=True, finalize=_shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_read("page.html.j2"))
    view = _view(report)
    page = template.render(
        view,
        report=report,
        script=Markup(script),
        styles=Markup(styles),
        script_digest=_digest(script),
        figures=drawn,
        sizes={name: Markup(f"\uffff{name}\uffff") for name in ("page", "charts", "script", "styles", "data")},
    )
    charts = [str(chart.svg) for section in drawn for choice in section.choices for chart in choice.charts]
    data = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    return _weighed(page.lstrip(), {"charts": charts, "script": [script], "styles": [styles], "data": data})


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """What a template's expression writes: any text that is not markup of ours made visible."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def _digest(script: str) -> str:
    """The script's digest, as a content security policy names it: no other script on the page runs."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _view(report: Report) -> dict[str, Any]:
    """Everything that the template shows besides the report itself."""
    environments, numbers = tables.environments(report)
    wins = win_matrices(report)
    power = report.power.text if report.power else ""
    ran = any(row.scores or row.diagnostics for row in report.rows)
    return {
        "title": one_line(f"{report.name}: objectives under policy lag", 120),
        "summary": _summary(report),
        "problems": _problems(report),
        "failed_gates": [gate for gate in report.gates if gate.passed is False],
        "limits": _limits(report),
        "standings": tables.leaderboard(report),
        "history": tables.history(report),
        "objective_settings": tables.settings_of_objectives(report),
        "tuned": tables.tuned_scores(report),
        "matrix": tables.matrix(report),
        "row_tables": [tables.all_scores(report), tables.diagnostics(report), tables.costs(report)] if ran else [],
        "heat_maps": heat_maps(report),
        "wins": wins,
        "wins_note": compared(wins, report),
        "pairs": tables.pairs(report),
        "evaluations": tables.evaluations(report),
        "power": tables.power(report),
        "manifest": tables.manifest(report, numbers),
        "environments": environments,
        "sources": tables.sources(report),
        "settings": tables.dictionary("suite-settings", "Settings that all cells share", report.settings),
        "inputs": tables.dictionary("inputs", "Model and data", report.inputs),
        "samples": tables.samples(report),
        "notes": [note for note in report.notes if note not in (report.family.text, report.family.mark, power)],
        "share": share,
        "key_mark": key_mark,
    }


def _summary(report: Report) -> str:
    """The first paragraph: how much was run, of what, and where the base model stands."""
    objectives = len({row.objective for row in report.rows})
    seeds = sorted({seed for row in report.rows for seed in row.seeds})
    states = [cell.state for cell in report.cells]
    others = [
        f"{many:,} {state}" for state in ("failed", "unfinished", "stale", "missing") if (many := states.count(state))
    ]
    finished = f"{states.count('finished'):,} of {_many(len(states), 'cell')} finished"
    ran = f"{_many(objectives, 'objective')} under {_many(len(report.schedules), 'schedule')}"
    ran += f", {_many(len(seeds), 'seed')} ({number_list(seeds)})" if seeds else ""
    base = report.base.get("pass@1")
    told = f"The base model's pass@1 is {estimate(base)}." if base else "The base model has not been evaluated."
    return f"{ran}; {', '.join([finished, *others])}. {told}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _problems(report: Report) -> str:
    """What the scores are of, as a sentence."""
    return f"Scores are on {report.exam}." if report.exam else "No problems have been attempted yet."


def _limits(report: Report) -> list[str]:
    """What a reader may not conclude."""
    model, task, rate = (report.settings.get(key) for key in ("model", "task", "learning_rate"))
    trained = f"One model ({model}) was trained on one task ({task}). What" if model and task else "What"
    at = f" ({plain(rate)})" if isinstance(rate, float) else ""
    tuned = (
        "Fixed hyperparameters are one setting for all; the tuned columns choose the learning rate alone."
        if report.search
        else f"One learning rate{at} for all objectives: one that would do better at another is not shown at its best."
    )
    return [
        "Lag is simulated: a plan says which version of the policy draws which tokens, and every token is checked "
        "against it. There are no servers, queues or clocks, so the times here say nothing about the speed of an "
        "asynchronous system.",
        f"{trained} holds here need not hold for a larger model or another task.",
        "The held-out problems are a fixed set: intervals over seeds say how far a result carries over to other seeds, "
        "not to other problems.",
        tuned,
        "No difference shown does not mean no difference: what this many seeds can find stands under Statistics.",
    ]


def key_mark(style: int) -> Markup:
    """A short piece of a line, as in the key of a chart."""
    dashes = f' stroke-dasharray="{DASHES[style]}"' if DASHES[style] else ""
    return Markup(
        f'<svg class="mark" viewBox="-15 -5 30 10" aria-hidden="true" style="--c:var(--series-{style + 1})">'
        f'<path d="M-15 0h30"{dashes}/>{_MARKS[MARKERS[style]]}</svg>'
    )


def _weighed(page: str, parts: dict[str, list[str]]) -> str:
    """The page with the sizes of its parts, and its own, where it states them."""
    parts = {**parts, "page": [page]}
    sizes = {name: sum(len(text.encode()) for text in texts) for name, texts in parts.items()}
    return PLACE.sub(lambda found: f"{sizes[found[1]] / 1000:,.0f} KB", page)
