"""Whether a base model leaves anything to be learned, in words."""

from __future__ import annotations

SOLVED = 0.95  # pass@1 of the base model from which on what is left is about as much as seeds differ


def without_headroom(base: float) -> str:
    """Why nothing can be compared from a base model of this held-out pass@1; empty where it leaves room.

    >>> without_headroom(0.97)[:40], without_headroom(0.25)
    ('The base model solves 97.0 % already: at', '')
    """
    if base == 0:
        return (
            "The base model solves nothing: without a right response there is no reward to learn from. Choose easier "
            "problems or a stronger model."
        )
    if base < SOLVED:
        return ""
    return (
        f"The base model solves {100 * base:.1f} % already: at most {1 - base:.3f} can be gained, about as much as "
        "seeds differ. Choose harder problems or a weaker model."
    )
