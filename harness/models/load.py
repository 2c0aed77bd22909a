"""Reading a Hugging Face folder. The one place that turns files into a model and a tokenizer."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from ..types import InputError

disable_progress_bar()  # of loading and saving weights; it would tear the suite's own


def load_model(folder: Path, device: torch.device) -> PreTrainedModel:
    """The causal LM in `folder`, fp32, in evaluation mode: without dropout the sampler and the learner agree."""
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise InputError(f"model={folder}: cannot be loaded as a causal LM: {str(error).splitlines()[0]}") from error
    model.to(device).eval()
    _check_plain_head(model, folder)
    return model


def model_without_weights(folder: Path) -> PreTrainedModel:
    """The layers of the causal LM in `folder`, on no device: for looking at what it is made of."""
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"model={folder}: its config.json cannot be used: {str(error).splitlines()[0]}") from error


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"model={folder}: its tokenizer cannot be loaded: {str(error).splitlines()[0]}") from error


def context_length(folder: Path) -> int | None:
    """Tokens that prompt and response may have together, where the model's configuration says so."""
    try:
        return getattr(AutoConfig.from_pretrained(folder).get_text_config(), "max_position_embeddings", None)
    except (OSError, ValueError) as error:
        raise InputError(f"model={folder}: its config.json cannot be used: {str(error).splitlines()[0]}") from error


def end_of_sequence(folder: Path) -> int | list[int] | None:
    """What a model in `folder`, once loaded, would end a sequence with, by its generation configuration."""
    try:
        configured = GenerationConfig.from_pretrained(folder)
    except OSError:  # it has none: transformers derives one, too
        configured = GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder))
    found: int | list[int] | None = configured.eos_token_id
    return found


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision(device: torch.device) -> Any:
    """The context every forward pass runs in: bf16 autocast on a GPU, plain fp32 on a CPU."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def numerics(device: torch.device) -> str:
    """Device and precision of forward passes, in words: other ones round differently."""
    return f"{device.type} {'bfloat16' if device.type == 'cuda' else 'float32'}"


def _check_plain_head(model: PreTrainedModel, folder: Path) -> None:
    """Refuse a model whose logits are not head(hidden): soft-capped or scaled logits would be trained wrongly."""
    ids = torch.arange(4, device=model.device)[None] % model.config.get_text_config().vocab_size  # [1, 4]
    with torch.no_grad():
        hidden = model.get_decoder()(ids, use_cache=False).last_hidden_state
        head = model.get_output_embeddings()
        plain = head(hidden)
        actual = model(ids, use_cache=False).logits
    if not isinstance(head, torch.nn.Linear) or not torch.allclose(plain, actual, rtol=1e-3, atol=1e-3):
        raise InputError(
            f"model={folder}: {type(model).__name__} changes its logits after the output head (soft-capping or "
            "scaling) or has none that is linear, which LagBench does not support; use another model"
        )
