"""Text to token ids and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..types import InputError, Problem, Rollouts, Task


@dataclass(frozen=True)
class Codec:
    """A tokenizer with the prompt form of a run."""

    tokenizer: PreTrainedTokenizerBase
    task: Task
    form: Literal["plain", "chat"]

    def __post_init__(self) -> None:
        if self.form == "chat" and not self.tokenizer.chat_template:
            raise InputError("prompt=chat, but the model has no chat template; use prompt=plain")

    @property
    def pad_id(self) -> int:
        """Of the padding token, or of the end of sequence where a tokenizer has none: padding is masked everywhere."""
        pad = self.tokenizer.pad_token_id
        return pad if pad is not None else self.tokenizer.eos_token_id

    def encode(self, problem: Problem) -> list[int]:
        """The prompt's token ids."""
        text = self.task.prompt(problem.question)
        if self.form == "plain":
            return self.tokenizer(text).input_ids
        message = [{"role": "user", "content": text}]
        return self.tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=False)

    def decode(self, rollouts: Rollouts) -> list[str]:
        """Every response's text, special tokens left out."""
        rows = [row[mask].tolist() for row, mask in zip(rollouts.tokens, rollouts.mask, strict=True)]
        return self.tokenizer.batch_decode(rows, skip_special_tokens=True)


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that end a response: the model's and the tokenizer's ends of sequence."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return tuple(sorted({i for i in (*ids, tokenizer.eos_token_id) if i is not None}))
