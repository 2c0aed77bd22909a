"""Tokens per second of vLLM through LagBench and of vLLM alone, in turn, on one engine, with 64 and 256 sequences.

    python benchmarks/vllm_throughput.py [REPEATS]

Prompts of `chain` with 8 responses each on the embedded model (0.34 M parameters), at most 16 tokens, stop at the end
of sequence, one thread. Alone is `LLM.generate` on prepared prompts and the same SamplingParams, log-probabilities
included, with its outputs left as they are; through LagBench is `VllmSampler.sample`, which makes the settings, seeds
and Rollouts too.
Short responses on a tiny model: what we add weighs more here than anywhere else. Also: seconds of a weight update.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch

from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.registry import load_task
from lagbench.harness.rollout.vllm_engine import shared_engine
from lagbench.harness.rollout.vllm_sampler import VllmSampler

SIZES, SAMPLES, MAX_TOKENS, FLOOR = (64, 256), 8, 16, 0.9


def tokens_per_second(draw: Callable[[], int]) -> float:
    start = time.perf_counter()
    tokens = draw()
    return tokens / (time.perf_counter() - start)


def main(repeats: int) -> None:
    folder = locate("tiny")
    tokenizer, engine = load_tokenizer(folder), shared_engine(folder, False)
    model = load_model(folder, torch.device("cpu"))
    sampler = VllmSampler(engine, (tokenizer.eos_token_id,), MAX_TOKENS, 1.0)
    lines = ["sequences  vLLM tokens/s  through LagBench  ratio, median (lowest, highest)"]
    ratios = []
    for size in SIZES:
        prompts = [tokenizer(p.question).input_ids for p in load_task("chain", {}).train[: size // SAMPLES]]
        bare, ours = [], []
        for repeat in range(repeats + 2):
            noise = Noise(TRAINING, repeat, 0, tuple(range(len(prompts))), SAMPLES)
            sampling = [sampler.sampling(MAX_TOKENS, SAMPLES, noise, group) for group in noise.groups]
            asked = [{"prompt_token_ids": prompt} for prompt in prompts]
            alone = tokens_per_second(
                lambda asked=asked, sampling=sampling: sum(
                    len(drawn.token_ids)
                    for output in engine.model.generate(asked, sampling, use_tqdm=False)
                    for drawn in output.outputs
                )
            )
            through = tokens_per_second(
                lambda prompts=prompts, noise=noise: int(sampler.sample(prompts, noise).mask.sum())
            )
            if repeat >= 2:  # the first rounds warm up
                bare.append(alone)
                ours.append(through)
        each = sorted(a / b for a, b in zip(ours, bare, strict=True))
        ratios.append(statistics.median(each))
        lines.append(
            f"{size:9} {statistics.median(bare):14.0f} {statistics.median(ours):17.0f}  "
            f"{ratios[-1]:.3f} ({each[0]:.3f}, {each[-1]:.3f})"
        )
    spent = []
    for version in range(20):
        start = time.perf_counter()
        engine.update(((name, value.detach()) for name, value in model.named_parameters()), version)
        spent.append(time.perf_counter() - start)
    lines.append(f"weight update with prefix cache reset: {1000 * statistics.median(spent):.0f} ms")
    print("\n".join(lines))
    sys.exit(min(ratios) < FLOOR)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
