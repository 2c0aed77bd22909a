"""From what a user calls a model to the folder that holds it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..types import InputError

EMBEDDED = {"tiny": Path(__file__).parent / "tiny"}


def locate(model: str) -> Path:
    """The folder of `model`: an embedded name, a local folder, or a hub id (downloaded once into the hub's cache)."""
    folder = EMBEDDED.get(model, Path(model).expanduser())
    if not folder.is_dir():
        folder = _download(model)
    for what, patterns in (("config.json", ["config.json"]), ("weights", ["*.safetensors", "*.bin"])):
        if not any(found for pattern in patterns for found in folder.glob(pattern)):
            raise InputError(f"model={model}: the folder holds no {what}; expected a Hugging Face causal LM folder")
    return folder


def digest(folder: Path) -> str:
    """sha256 over names and contents of the files of a model folder."""
    content = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        content.update(path.name.encode())
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()


def _download(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    expected = f"expected {', '.join(EMBEDDED)}, a folder with config.json, or a hub id that this machine can reach"
    try:
        return Path(snapshot_download(model, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]))
    except HFValidationError:
        raise InputError(f"model={model}: no such folder; {expected}") from None
    except Exception as error:  # the hub client raises its transport's errors: anything from DNS to HTTP 401
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"model={model}: no such folder, and as a hub id: {reason}; {expected}") from None
