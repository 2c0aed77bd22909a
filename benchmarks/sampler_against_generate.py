"""Tokens per second of the torch sampler and of transformers' `generate`, in turn, on the tiny model at batch 256.

    python benchmarks/sampler_against_generate.py

32 prompts with 8 responses each, one thread, stop at the end of sequence, at most 16 tokens. Both sides count the
tokens of the responses themselves, not what is computed behind their end. `generate` is timed as it is and with the
log-probabilities of its tokens, which the sampler always returns.
"""

import statistics
import time
from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.registry import load_task
from lagbench.harness.rollout.torch_sampler import TorchSampler

PROMPTS, SAMPLES, MAX_TOKENS, REPEATS = 32, 8, 16, 15


def tokens_per_second(sample: Callable[[int], int], repeat: int) -> float:
    start = time.perf_counter()
    tokens = sample(repeat)
    return tokens / (time.perf_counter() - start)


def with_generate(model: PreTrainedModel, ids: torch.Tensor, stop: int, logprobs: bool) -> Callable[[int], int]:
    def sample(_: int) -> int:
        made = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            top_k=0,
            max_new_tokens=MAX_TOKENS,
            num_return_sequences=SAMPLES,
            return_dict_in_generate=True,
            output_logits=logprobs,
        )
        tokens = made.sequences[:, ids.shape[1] :]
        if logprobs:
            torch.stack(made.logits, 1).float().log_softmax(-1).gather(-1, tokens[..., None])
        ends = (tokens == stop).int()
        return int((ends.cumsum(1) - ends == 0).sum())  # up to and including the first end of sequence

    return sample


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, tokenizer = load_model(locate("tiny"), torch.device("cpu")), load_tokenizer(locate("tiny"))
    prompts = [tokenizer(p.question).input_ids for p in load_task("chain", {}).train[:PROMPTS]]
    sampler = TorchSampler(model, lambda: 0, (tokenizer.eos_token_id,), tokenizer.pad_token_id, MAX_TOKENS, 1.0)

    def with_sampler(repeat: int) -> int:
        return int(sampler.sample(prompts, Noise(TRAINING, repeat, 0, tuple(range(PROMPTS)), SAMPLES)).mask.sum())

    ids, stop = torch.tensor(prompts), tokenizer.eos_token_id
    sides = {
        "torch sampler (with log-probabilities)": with_sampler,
        "generate": with_generate(model, ids, stop, logprobs=False),
        "generate with log-probabilities": with_generate(model, ids, stop, logprobs=True),
    }
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(REPEATS + 1):
        for name, sample in sides.items():
            speed = tokens_per_second(sample, repeat)
            if repeat:  # the first round warms up
                speeds[name].append(speed)
    ours = speeds["torch sampler (with log-probabilities)"]
    for name, theirs in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(f"{name:40} {statistics.median(theirs):9.0f} tokens/s   sampler / this: {ratio:.2f}")


if __name__ == "__main__":
    main()
