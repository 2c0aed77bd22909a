"""Prompts in, sampled responses with their behavior log-probabilities out."""

from .noise import EVALUATION, TRAINING, Noise
from .sampler import Sampler

__all__ = ["EVALUATION", "TRAINING", "Noise", "Sampler"]
