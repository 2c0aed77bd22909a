"""Held-out problems in, every attempt and its verdict out, pass@k from those."""
