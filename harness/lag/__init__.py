"""Lag as a plan made before the run: which policy version generates every prompt group of every update."""

from .plan import LagPlan
from .schedules import make_plan

__all__ = ["LagPlan", "make_plan"]
