"""Peak memory and time of the log-probabilities of 4,096 tokens over a vocabulary of 151,936, forward and backward.

    python benchmarks/long_responses.py [REPEATS [TOKENS]]

The plain way (all logits, kept for backward) against the learner's tiles, at several hidden sizes: hidden states,
weights and the weights' gradient buffer are there before; what is counted is what comes on top. Every measurement is a
process of its own, the two ways by turns. Peak memory is the process's resident set at its highest (VmHWM, reset
before the forward pass) less what it was then: real pages, whoever allocated them. Seconds are those of one core's
processor, page faults among them, so that other work on the machine does not count.
Writes results/published/benchmarks/long_responses.md; exit code 1 if the tiles need more than a tenth of the plain
way's memory or more than 1.2 times its time.
"""

import json
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch
from torch import Tensor, nn

from lagbench.harness.learn.logprobs import token_logprobs
from lagbench.harness.sweep.provenance import environment

PAGE = Path(__file__).parent.parent / "results" / "published" / "benchmarks" / "long_responses.md"
VOCABULARY, TOKENS, HIDDEN = 151_936, 4096, (256, 512, 1024)
MOST_MEMORY, MOST_TIME = 0.1, 1.2
WAYS = ("plain", "tiles")


def main(repeats: int, tokens: int) -> None:
    rows, holds = [], True
    for hidden in HIDDEN:
        measured: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(repeats):
            for way in WAYS:
                measured[way].append(in_a_process(way, hidden, tokens))
        memory = {way: max(one["bytes"] for one in measured[way]) / 2**30 for way in WAYS}
        seconds = {way: statistics.median(one["seconds"] for one in measured[way]) for way in WAYS}
        less, longer = (of["tiles"] / of["plain"] for of in (memory, seconds))
        holds &= less <= MOST_MEMORY and longer <= MOST_TIME
        rows.append(
            f"| {hidden} | {memory['plain']:.2f} | {memory['tiles']:.2f} | {less:.3f} "
            f"| {seconds['plain']:.1f} | {seconds['tiles']:.1f} | {longer:.2f} |"
        )
        print(rows[-1], flush=True)
    PAGE.write_text(page(rows, repeats, tokens))
    sys.exit(not holds)


def in_a_process(way: str, hidden: int, tokens: int) -> dict[str, float]:
    command = [sys.executable, __file__, "measure", way, str(hidden), str(tokens)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(way: str, hidden: int, tokens: int) -> None:
    """Print seconds, and bytes on top of what was there before, of one forward and one backward pass."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = nn.Linear(hidden, VOCABULARY, bias=False)
    head.weight.grad = torch.zeros_like(head.weight).add_(0)  # touched, so that its pages are there
    states = torch.randn(tokens, hidden, requires_grad=True)
    targets, gradient = torch.randint(VOCABULARY, (tokens,)), torch.randn(tokens) / tokens
    (states[:64] @ head.weight[:64].detach().T).sum().backward()  # libraries are there
    states.grad = None
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    started = time.process_time()
    chosen, _ = (plain if way == "plain" else token_logprobs)(states, head, targets, 1.0)
    chosen.backward(gradient)
    seconds = time.process_time() - started
    print(json.dumps({"seconds": seconds, "bytes": status("VmHWM") - before}))


def plain(hidden: Tensor, head: nn.Linear, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """As it is usually written, with the entropy that the learner records."""
    logprobs = torch.log_softmax(head(hidden).float() / temperature, -1)
    with torch.no_grad():
        entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(-1, targets[:, None]).squeeze(-1), entropy


def status(key: str) -> int:
    """Bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def page(rows: list[str], repeats: int, tokens: int) -> str:
    """The published table."""
    return "\n".join(
        [
            "# Log-probabilities of long responses over a big vocabulary",
            "",
            f"`python benchmarks/long_responses.py {repeats}`, one core of {environment('')['processor']},",
            f"torch {torch.__version__}, {date.today()}. {tokens:,} tokens, vocabulary {VOCABULARY:,}, fp32, forward",
            "and backward with a gradient for every token. Memory is what is added to hidden states, weights and their",
            f"gradient buffer at its highest; seconds are the processor's, median of {repeats}. Required: at most",
            f"{MOST_MEMORY:g} of the plain way's memory and {MOST_TIME:g} of its time. How it is done:",
            "[memory.md](../../../docs/memory.md).",
            "",
            "| hidden size | plain, GiB | tiles, GiB | ratio | plain, s | tiles, s | ratio |",
            "|--:|--:|--:|--:|--:|--:|--:|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        given = [int(argument) for argument in sys.argv[1:]]
        main(*[*given, *(3, TOKENS)[len(given) :]])
