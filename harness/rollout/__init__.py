"""Prompts in, sampled responses with their behavior log-probabilities out."""

from .sampler import Sampler

__all__ = ["Sampler"]
