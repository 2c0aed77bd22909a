"""Where every number comes from: one line for each cell, with the command that makes it again."""

from __future__ import annotations

import shlex

from . import document as doc
from .results import Cell, Results

OF_NO_MATTER = ("--results", "--workers", "--checkpoint-every", "--tracker")  # options that change no cell


def manifest(cell: Cell) -> doc.Cell:
    """A cell's line."""
    axes, about = cell.axes, cell.environment
    return doc.Cell(
        name=cell.name,
        objective=axes.objective,
        lag=axes.lag,
        mismatch=axes.mismatch,
        seed=axes.seed,
        state=cell.state,
        pass_at_1=cell.scores["pass@1"].mean if cell.scores else None,
        reason=cell.failure,
        id=cell.run.get("id", ""),
        weights_digest=cell.weights_digest,
        seconds=cell.seconds or None,
        command=command(cell),
        packages=about.get("packages", {}),
        processor=about.get("processor", ""),
        source=cell.source,
    )


def command(cell: Cell) -> str:
    """The command that was given, narrowed to this cell, its results in a folder that the reader chooses.

    Overrides are read from left to right, so the axes at its end count.
    """
    words, given = [], iter(_words(cell.environment.get("command", "")))
    for word in given:
        option = word.partition("=")[0]
        if option not in OF_NO_MATTER:
            words.append(word)
        elif word == option:
            next(given, None)  # its value is a word of its own
    if not words or cell.axes.objective is None:
        return shlex.join(words)
    axes = (f"objectives={cell.axes.objective}", f"lags={cell.axes.lag}", f"seeds={cell.axes.seed}")
    mismatch = () if cell.axes.mismatch == "none" else (f"mismatch={cell.axes.mismatch}",)
    kept = [word for word in words if word.split("=")[0] not in ("objectives", "lags", "seeds", "mismatch")]
    return shlex.join([*kept, *axes, *mismatch])


def _words(line: str) -> list[str]:
    """Of a command line; where a quote is left open, what spaces part."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def sources(results: Results) -> tuple[doc.Source, ...]:
    """The results folders, by the digest of their checksums."""
    return tuple(
        doc.Source(
            name=name,
            digest=results.checksums[name] or "",
            cells=sum(cell.source == name for cell in results.cells),
            remark=results.remarks.get(name, ""),
        )
        for name in results.folders
    )
