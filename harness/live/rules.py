"""What a live run is told about asynchrony; lag follows from it and from how fast the machines are."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import InputError


@dataclass(frozen=True)
class Rules:
    """Of all cells of a live suite. Lag counts optimizer updates."""

    workers: int = 2
    """Rollout workers; the groups of an update are shared out among them."""
    max_lag: int = 8
    """Largest lag of a token that is trained on."""
    at_bound: str = "wait"
    """wait: nothing is asked that would be older than max_lag when its turn comes, and workers wait. drop: workers run
    ahead as far as `queue` lets them, and what is too old when its turn comes is drawn again."""
    queue: int = 16
    """Updates whose groups may be asked, drawn or waiting beyond the one that is trained."""
    broadcast_every: int = 1
    """Updates between two versions that workers get."""
    in_flight: int | None = None
    """Tokens after which a response goes on under newer weights, where there are any; None: it is finished first."""

    def __post_init__(self) -> None:
        least = {"workers": 1, "max_lag": 0, "queue": 0, "broadcast_every": 1, "in_flight": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise InputError(f"{_option(name)} {value} is not valid: expected a whole number from {smallest} on")
        if self.at_bound not in ("wait", "drop"):
            raise InputError(f"--at-bound {self.at_bound!r} is not valid: expected wait or drop")
        for name in ("max_lag", "queue"):
            if self.broadcast_every - 1 > getattr(self, name):
                raise InputError(
                    f"--broadcast-every {self.broadcast_every} makes lags up to {self.broadcast_every - 1}, but "
                    f"{_option(name)} is {getattr(self, name)}: raise it, or broadcast more often"
                )

    @property
    def ahead(self) -> int:
        """Updates by which a group may be asked before its turn, counted from the version that will draw it."""
        return min(self.max_lag, self.queue) if self.at_bound == "wait" else self.queue


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
