"""Where every number comes from: one line for each cell, with the command that makes it again."""

from __future__ import annotations

import shlex

from . import document as doc
from .results import Cell, Results


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
    given = shlex.split(cell.environment.get("command", ""))
    words, skip = [], False
    for word in given:
        if not skip and word.split("=")[0] not in ("--results", "--workers", "--checkpoint-every"):
            words.append(word)
        skip = not skip and word in ("--results", "--workers", "--checkpoint-every")
    if not words or cell.axes.objective is None:
        return shlex.join(words)
    axes = (f"objectives={cell.axes.objective}", f"lags={cell.axes.lag}", f"seeds={cell.axes.seed}")
    mismatch = () if cell.axes.mismatch == "none" else (f"mismatch={cell.axes.mismatch}",)
    kept = [word for word in words if word.split("=")[0] not in ("objectives", "lags", "seeds", "mismatch")]
    return shlex.join([*kept, *axes, *mismatch])


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
