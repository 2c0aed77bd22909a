"""Time of applying each objective to 256 responses of 1024 tokens on one core: forward, aggregate, backward.

python benchmarks/objective_overhead.py [REPETITIONS]
"""

import statistics
import sys
import time

import torch

from lagbench import Batch
from lagbench.harness.apply import apply_objective
from lagbench.harness.check.objective import options_to_check
from lagbench.harness.learn.aggregate import make_aggregate, reduced
from lagbench.harness.registry import OBJECTIVES, Entry

ROWS, WIDTH, GROUP_SIZE = 256, 1024, 8
LIMIT_MS = 60


def made_up_batch() -> Batch:
    """Ragged responses, log-ratios of about 0.3 nats, advantages of both signs."""
    torch.manual_seed(0)
    logprobs = -torch.rand(ROWS, WIDTH) * 2 - 1e-3
    rewards = torch.randint(2, (ROWS,)).float()
    return Batch(
        logprobs=logprobs.requires_grad_(),
        behavior_logprobs=logprobs.detach() + 0.3 * torch.randn(ROWS, WIDTH),
        proximal_logprobs=logprobs.detach().clone(),
        advantages=rewards - rewards.mean(),
        rewards=rewards,
        mask=torch.arange(WIDTH) < torch.randint(1, WIDTH + 1, (ROWS, 1)),
        group=torch.arange(ROWS) // GROUP_SIZE,
        lag=torch.randint(0, 64, (ROWS, WIDTH), dtype=torch.int32),
        uniform=torch.rand(ROWS, WIDTH, dtype=torch.float64),
    )


def milliseconds(entry: Entry, options: dict, batch: Batch) -> float:
    """Of one application."""
    aggregate = make_aggregate(entry.conventions.aggregate, WIDTH)
    started = time.perf_counter()
    loss = apply_objective(entry, batch, entry.check_options(options))
    total = reduced(loss, batch.mask, batch.group, aggregate, entry.conventions.denominator)
    torch.autograd.grad(total, batch.logprobs)
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    torch.set_num_threads(1)
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    batch, worst = made_up_batch(), 0.0
    for entry in OBJECTIVES.all().values():
        for options in options_to_check(entry):
            times = [milliseconds(entry, options, batch) for _ in range(repetitions + 2)][2:]
            median = statistics.median(times)
            worst = max(worst, median)
            named = "".join(f" {name}={value}" for name, value in options.items())
            print(f"{entry.name + named:38} {median:6.1f} ms (slowest of {repetitions}: {max(times):.1f})")
    print(f"largest median {worst:.1f} ms, limit {LIMIT_MS} ms")
    sys.exit(worst > LIMIT_MS)


if __name__ == "__main__":
    main()
