"""Causal language models in ordinary Hugging Face folders, and the tiny one that is embedded."""

from .locate import EMBEDDED, digest, locate

__all__ = ["EMBEDDED", "digest", "locate"]
