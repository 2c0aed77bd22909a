"""Tokens per second of both decoding loops, seconds of an update and peak memory on a GPU: `make gpu`.

    python benchmarks/gpu.py

Two models, the embedded one and one as large as SmolLM2-135M with random weights (speed does not depend on them);
prompts of 64 tokens, 8 responses each, none ends before its last token, so that all loops do the same work. Writes
results/published/benchmarks/gpu.md with the GPU's name. Without a GPU it says so in one line.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from lagbench.harness.config import Run
from lagbench.harness.learn.policy import Policy
from lagbench.harness.learn.sequences import sequences
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.rollout import static_decoding
from lagbench.harness.rollout.torch_sampler import TorchSampler

SAMPLES, REPEATS = 8, 3
PAGE = Path(__file__).parent.parent / "results" / "published" / "benchmarks" / "gpu.md"


def embedded(device: torch.device) -> PreTrainedModel:
    return load_model(locate("tiny"), device)


def as_large_as_smollm2(device: torch.device) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).to(device).eval()


# name, model, tokens of a prompt, of a response (the embedded model has 64 positions)
MODELS = (("tiny, 0.34 M", embedded, 16, 48), ("as SmolLM2-135M", as_large_as_smollm2, 64, 512))
BATCHES = (64, 256)


def eager(step: Callable[[], object], _: torch.device) -> Iterator[None]:
    while True:
        step()
        yield


@contextmanager
def replaced(**names: object) -> Iterator[None]:
    """Other functions in static_decoding."""
    before = {name: getattr(static_decoding, name) for name in names}
    for name, value in names.items():
        setattr(static_decoding, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(static_decoding, name, value)


LOOPS: dict[str, dict[str, object]] = {
    "dynamic": {"fits": lambda *_: False},
    "static, without a graph": {"fits": lambda *_: True, "repeated": eager},
    "static, CUDA graph": {},
}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of a few repeats after a first one, and the peak of allocated memory in GiB."""
    seconds = []
    for _ in range(REPEATS + 1):
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), torch.cuda.max_memory_allocated() / 2**30


def measure(name: str, model: PreTrainedModel, rows: int, prompt: int, tokens: int) -> Iterator[str]:
    """Lines of the table for one model and batch."""
    vocabulary = model.config.vocab_size
    ids = torch.randint(2, vocabulary, (rows // SAMPLES, prompt), generator=torch.Generator().manual_seed(0)).tolist()
    noise = Noise(TRAINING, 0, 0, tuple(range(len(ids))), SAMPLES)
    sampler = TorchSampler(model, lambda: 0, (), 0, tokens, 1.0)
    for loop, names in LOOPS.items():
        with replaced(**names):
            seconds, peak = timed(lambda: sampler.sample(ids, noise))
        speed = rows * tokens / seconds
        yield f"| {name} | {rows} x ({prompt} + {tokens}) | {loop} | {seconds:.2f} | {speed:.0f} | {peak:.1f} |"
    run = Run(objective="policy_gradient", lag="sync", seed=0, updates=100, learning_rate=1e-6, microbatch=16)
    policy = Policy(model, run)
    batch = sequences(sampler.sample(ids, noise), 0, model.device)

    def update() -> None:
        forward = policy.forward(batch)
        forward.backward(torch.full_like(forward.logprobs, -1 / batch.mask.numel()))
        policy.step()

    seconds, peak = timed(update)
    speed = rows * tokens / seconds
    yield f"| {name} | {rows} x ({prompt} + {tokens}) | update | {seconds:.2f} | {speed:.0f} | {peak:.1f} |"


def page(lines: list[str]) -> str:
    """The published table."""
    about = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}"
    head = ("| model | responses x (prompt + tokens) | what | s | tokens/s | peak GiB |", "|---|---|---|--:|--:|--:|")
    text = (
        f"`python benchmarks/gpu.py` on one {about}, transformers {transformers.__version__}, {date.today()}. "
        "bf16 autocast. An update is forward, backward and AdamW over the responses drawn."
    )
    return "\n".join(("# On a GPU", "", text, "", *head, *lines, ""))


def main() -> None:
    if not torch.cuda.is_available():
        print("no GPU here: nothing measured")
        return
    lines = []
    for name, build, prompt, tokens in MODELS:
        for rows in BATCHES:
            model = build(torch.device("cuda"))
            for line in measure(name, model, rows, prompt, tokens):
                print(line, flush=True)
                lines.append(line)
            del model
    PAGE.write_text(page(lines))


if __name__ == "__main__":
    main()
