"""Stop strings: text that ends a response, whatever tokens it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

UNFINISHED = "\ufffd"  # how a part of a character is decoded
SLACK = 4  # tokens beyond one for each byte of the longest string


def cut(text: str, strings: Sequence[str]) -> str:
    r"""`text` up to the first of the strings that it holds.

    >>> cut("so 5\nProblem: 2", ["Problem:", "\nProblem"])
    'so 5'
    """
    return min((text.partition(string)[0] for string in strings), key=len, default=text)


@dataclass(frozen=True)
class StopStrings:
    """The strings, none of them empty, and the tokenizer that spells them. Without strings nothing is stopped."""

    strings: tuple[str, ...]
    tokenizer: PreTrainedTokenizerBase

    @property
    def possible(self) -> tuple[str, ...]:
        """The strings, or none where no token of the vocabulary can complete one."""
        return self.strings if self.strings and _ending_tokens(self.strings, self.tokenizer).any() else ()

    def ended(self, tokens: Tensor, rows: Tensor, last: Tensor) -> Tensor:
        """Whether the response in each of `rows` of `tokens` [B, T] holds a string that ends at its token `last`: [N].

        Only rows whose newest token can end a string are decoded, and of those only as many tokens as matter.
        """
        found = torch.zeros_like(rows, dtype=torch.bool)
        if not self.strings:
            return found
        ending = _ending_tokens(self.strings, self.tokenizer).to(tokens.device)
        window = SLACK + max(len(string.encode()) for string in self.strings)
        for i in ending[tokens[rows, last]].nonzero().squeeze(-1).tolist():
            end = int(last[i]) + 1
            tail = self.tokenizer.decode(tokens[rows[i], max(0, end - window) : end].tolist())
            found[i] = any(string in tail for string in self.strings)
        return found


@lru_cache(maxsize=8)
def _ending_tokens(strings: tuple[str, ...], tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Which tokens of the vocabulary can complete one of the strings: those that hold a last character, [V] bool."""
    last = {string[-1] for string in strings} | {UNFINISHED}
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    return torch.tensor([not last.isdisjoint(text) for text in texts])
