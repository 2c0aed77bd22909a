"""A suite's cells: expanded, run in parallel processes, resumed."""
