"""What `tasks/lm_eval` and the code around it agree on. Imports nothing, so that asking for the folder is quick."""

from importlib.resources import files
from pathlib import Path

TASK_FILES = Path(str(files("lagbench"))) / "tasks" / "lm_eval"  # lm_eval's --include_path
SHARED = TASK_FILES / "_sampled.yaml"  # what all tasks there include
PREFIX = "lagbench_"  # of their names
FILTER = "all"  # the one that they have: part of the name of every measure in lm-eval's results
