"""Lag as a plan made before the run: which policy version draws every token of every update."""

from .plan import LagPlan, Segments
from .planning import Scene, make_plan, resolve, split_schedules

__all__ = ["LagPlan", "Scene", "Segments", "make_plan", "resolve", "split_schedules"]
