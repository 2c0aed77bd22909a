"""GGUF checkpoints, as some packages carry them, to ordinary Hugging Face folders."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ..extras import require_extra
from ..types import InputError


def convert(source: Path, folder: Path) -> None:
    """Write the model in `source` to `folder`, dequantized to fp32, with its tokenizer and chat template."""
    if not source.is_file():
        raise InputError(f"{source}: no such file; expected a .gguf checkpoint")
    require_extra("gguf", "reading GGUF", "gguf", "accelerate")
    place = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    loaded = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights are plain now; save_pretrained refuses to write a GGUF model
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**place).save_pretrained(folder)
