"""An answer and its gold answer in, a verdict out: exact, then numeric, then symbolic in a killable process."""

from .verifier import Verifier

__all__ = ["Verifier"]
