"""Time that `lagbench eval` spends beside its work: all but loading the model, drawing responses and verifying them.

python benchmarks/evaluation_overhead.py [PROBLEMS] [SAMPLES]
"""

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

os.environ["TQDM_DISABLE"] = "1"
from lagbench.harness.evaluate import suite
from lagbench.harness.evaluate.lm_eval_tasks import Evaluation
from lagbench.harness.rollout.torch_sampler import TorchSampler
from lagbench.harness.verify import Verifier

LIMIT_US = 100  # per response
spent: Counter[str] = Counter()


def clock(owner: Any, name: str) -> None:
    """Have the seconds in `owner.name` counted."""
    function = getattr(owner, name)

    def timed(*given: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*given, **options)
        finally:
            spent[name] += time.perf_counter() - started

    setattr(owner, name, timed)


def main(problems: int = 512, samples: int = 16) -> None:
    torch.set_num_threads(1)
    for owner, name in ((suite, "make_lm"), (TorchSampler, "sample"), (Verifier, "grade"), (Verifier, "clusters")):
        clock(owner, name)
    asked = Evaluation("tiny", ("chain",), samples, "plain@1", None, 1.0, problems)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        suite.run_evaluation(asked, Path(folder), 256, {}, lambda known, total: None)
        rest = time.perf_counter() - started - sum(spent.values())
    each = 1e6 * rest / (problems * samples)
    parts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in spent.items())
    print(f"{problems} problems x {samples} samples: {parts}, the rest {rest:.2f} s = {each:.0f} us per response")
    sys.exit(each > LIMIT_US)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
