"""Makes the embedded model: `python -m lagbench.harness.models.recipe [FOLDER]`.

A Qwen3-architecture causal LM of 0.34 M parameters with a character tokenizer, trained on worked solutions of
`chain` training problems whose steps are wrong at a known rate (off by 1, 2 or 10, and carried on): capable but
unreliable, as base language models are. One thread, fixed seeds: the same machine makes the same bytes.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import track
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from ..registry import load_task
from ..types import Problem
from .locate import EMBEDDED

CHARACTERS = "0123456789+-=;#"
PAD, EOS = "<pad>", "<eos>"
STEPS, BATCH, LEARNING_RATE = 600, 128, 2e-3
MISTAKE_RATE, MISTAKES = 0.4, (-10, -2, -1, 1, 2, 10)
SEED = 0


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per character, with padding and end of sequence."""
    vocabulary = {token: i for i, token in enumerate((PAD, EOS, *CHARACTERS))}
    characters = Tokenizer(models.BPE(vocabulary, merges=[]))
    characters.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=characters, pad_token=PAD, eos_token=EOS, model_max_length=64, padding_side="left"
    )


def new_model(vocabulary: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(vocabulary),
            hidden_size=96,
            num_hidden_layers=3,
            num_attention_heads=3,
            num_key_value_heads=3,
            head_dim=32,
            intermediate_size=256,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            pad_token_id=vocabulary.pad_token_id,
            eos_token_id=vocabulary.eos_token_id,
            bos_token_id=None,
        )
    )


def worked_solution(question: str, rng: random.Random) -> str:
    """Running results and final answer of `3+5-2=` as `8;6#6`, each step wrong at the known rate.

    A copy of the last result is what ends up behind `#`, so a mistake is carried to the end.
    """
    first, *steps = re.findall(r"[+-]?\d", question)
    total, results = int(first), []
    for step in steps:
        total += int(step) + (rng.choice(MISTAKES) if rng.random() < MISTAKE_RATE else 0)
        results.append(str(total))
    return ";".join(results) + "#" + results[-1]


def warm_start(problems: Sequence[Problem]) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """Supervised training on worked solutions; AdamW, learning rate falling linearly to zero."""
    torch.manual_seed(SEED)
    rng, characters = random.Random(SEED), tokenizer()
    model = new_model(characters)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    for step in track(range(STEPS), "warm start"):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / STEPS)
        chosen = rng.choices(problems, k=BATCH)
        prompts = [characters(p.question).input_ids for p in chosen]
        responses = [characters(worked_solution(p.question, rng) + EOS).input_ids for p in chosen]
        _fit(model, prompts, responses, characters.pad_token_id)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model, characters


def _fit(model: Qwen3ForCausalLM, prompts: list[list[int]], responses: list[list[int]], pad: int) -> None:
    """Accumulate the gradient of the mean response NLL."""
    rows = [p + r for p, r in zip(prompts, responses, strict=True)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])  # [B, S]
    labels = torch.tensor(
        [[-100] * len(p) + r + [-100] * (width - len(p) - len(r)) for p, r in zip(prompts, responses, strict=True)]
    )
    model(ids, labels=labels).loss.backward()


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model, characters = warm_start(load_task("chain", {}).train)
    model.save_pretrained(folder)
    characters.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else EMBEDDED["tiny"])
