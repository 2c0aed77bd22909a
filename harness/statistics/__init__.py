"""Estimates with their intervals, tests and ranks: pure functions on numpy arrays, which know no files and no suite."""
