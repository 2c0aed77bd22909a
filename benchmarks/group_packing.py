"""Seconds of a learner update (forward, backward, optimizer step) with every prompt computed once for its 8 responses.

    python benchmarks/group_packing.py [REPEATS]

Prompts as long as responses, all of full length, on one core: the embedded model and random ones of its kind, through
the learner's own code. Seconds are those of the processor, so that other work on the machine does not count. Beside
them, how far log-probabilities (nats, or of their size where that is larger) and gradients (of the largest entry) of
the two ways are apart. Writes results/published/benchmarks/group_packing.md; exit code 1 if an update takes more than
0.7 of the plain one's time, or the ways differ by more than 1e-5.
"""

import copy
import statistics
import sys
import time
from datetime import date
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from lagbench.harness.config import Run
from lagbench.harness.learn.policy import Policy
from lagbench.harness.learn.sequences import Sequences, sequences
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model
from lagbench.harness.sweep.provenance import environment
from lagbench.harness.types import Rollouts

PAGE = Path(__file__).parent.parent / "results" / "published" / "benchmarks" / "group_packing.md"
GROUP, MOST_TIME, MOST_DIFFERENCE = 8, 0.7, 1e-5
CASES = (  # hidden size (0: the embedded model), groups, tokens of a prompt and of a response, prompts of one length
    (0, 32, 16, True),
    (128, 8, 32, True),
    (128, 8, 128, True),
    (128, 8, 128, False),
    (128, 4, 512, True),
    (256, 4, 256, True),
    (256, 4, 256, False),
)


def main(repeats: int) -> None:
    torch.set_num_threads(1)
    rows, holds = [], True
    for hidden, groups, tokens, equal in CASES:
        model = load_model(locate("tiny"), torch.device("cpu")) if hidden == 0 else random_model(hidden)
        batch = made_up(model, groups, tokens, equal)
        gradient = torch.randn(batch.mask.shape, generator=torch.Generator().manual_seed(1)) / batch.mask.numel()
        policies = [policy(model, groups, packed) for packed in (False, True)]
        by_logprobs, by_gradient = differences(policies, batch, gradient)
        times: list[list[float]] = [[], []]
        for _ in range(repeats):
            for its, one in zip(times, policies, strict=True):
                its.append(update(one, batch, gradient))
        plain, packed = map(statistics.median, times)
        holds &= packed <= MOST_TIME * plain and max(by_logprobs, by_gradient) <= MOST_DIFFERENCE
        size = f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M"
        rows.append(
            f"| {'embedded' if hidden == 0 else 'random'}, {size} | {groups} x {GROUP} | {tokens} + {tokens} "
            f"| {'equal' if equal else 'padded'} | {plain:.3f} | {packed:.3f} | {1 - packed / plain:.0%} "
            f"| {by_logprobs:.1e} | {by_gradient:.1e} |"
        )
        print(rows[-1], flush=True)
    PAGE.write_text(page(rows, repeats))
    sys.exit(not holds)


def random_model(hidden: int) -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=2048,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=4,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 64,
        head_dim=32,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config).eval()


def made_up(model: PreTrainedModel, groups: int, tokens: int, equal: bool) -> Sequences:
    """Prompts of `tokens`, or of three quarters of it to all, and responses of `tokens`."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.config.vocab_size
    lengths = [tokens if equal else tokens - i % (tokens // 4) for i in range(groups)]
    shape = (groups * GROUP, tokens)
    rollouts = Rollouts(
        prompts=tuple(tuple(torch.randint(vocabulary, (n,), generator=generator).tolist()) for n in lengths),
        tokens=torch.randint(vocabulary, shape, generator=generator),
        mask=torch.ones(shape, dtype=torch.bool),
        behavior_logprobs=torch.zeros(shape),
        versions=torch.zeros(shape, dtype=torch.int32),
        stopped=torch.zeros(len(lengths) * GROUP, dtype=torch.bool),
    )
    return sequences(rollouts, 0, model.device)


def policy(model: PreTrainedModel, groups: int, packed: bool) -> Policy:
    run = Run(
        objective="policy_gradient",
        lag="sync",
        seed=0,
        prompts_per_update=groups,
        responses_per_prompt=GROUP,
        group_packing=packed,
    )
    return Policy(copy.deepcopy(model), run)


def differences(policies: list[Policy], batch: Sequences, gradient: Tensor) -> tuple[float, float]:
    """Largest difference of a log-probability over its size or 1, and of a gradient's entry over the largest one."""
    found = []
    for one in policies:
        forward = one.forward(batch)
        forward.backward(gradient)
        by_weight = torch.cat([p.grad.flatten() for p in one.model.parameters()])
        one.optimizer.zero_grad()
        found.append((forward.logprobs.detach(), by_weight))
    (plain, by_plain), (packed, by_packed) = found
    return float(((plain - packed).abs() / plain.abs().clamp(min=1)).max()), float(
        (by_plain - by_packed).abs().max() / by_plain.abs().max()
    )


def update(one: Policy, batch: Sequences, gradient: Tensor) -> float:
    """Seconds of this process."""
    started = time.process_time()
    one.forward(batch).backward(gradient)
    one.step()
    return time.process_time() - started


def page(rows: list[str], repeats: int) -> str:
    """The published table."""
    head = "| model | responses | tokens | prompts | plain, s | packed, s | saved | log-probabilities | gradients |"
    return "\n".join(
        [
            "# Prompts computed once for their group",
            "",
            f"`python benchmarks/group_packing.py {repeats}`, one core of {environment('')['processor']},",
            f"torch {torch.__version__}, transformers {transformers.__version__}, {date.today()}. Seconds of the",
            f"processor for a learner update (forward, backward, step), median of {repeats}, by turns; tokens",
            "are those of a prompt and of a response. Last, the largest difference of a log-probability (nats, or of",
            "its size if larger) and of an entry of the gradient over the largest entry. Required: at least",
            f"{1 - MOST_TIME:.0%} saved, differences of at most {MOST_DIFFERENCE:g}. What the setting does:",
            "[memory.md](../../../docs/memory.md).",
            "",
            head,
            "|---|---|--:|---|--:|--:|--:|--:|--:|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
