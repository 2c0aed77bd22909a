"""Engines for the tests of this folder, which need vLLM: `make test-vllm`."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from lagbench.harness.extras import installed
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.rollout.vllm_engine import VllmEngine, shared_engine

collect_ignore_glob = [] if installed("vllm") else ["test_*.py"]
Built = tuple[PreTrainedModel, VllmEngine]


@pytest.fixture(scope="session")
def engine() -> VllmEngine:
    """That of the embedded model, as this process's cells have it."""
    return shared_engine(locate("tiny"), False)


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A small random Llama whose head is its embedding, with room for prompts of several cache blocks."""
    folder: Path = tmp_path_factory.mktemp("tied")
    config = AutoConfig.for_model(
        "llama",
        vocab_size=17,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        eos_token_id=1,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for value in model.parameters():
            value *= 4 if value.dim() > 1 else 1  # or all tokens would be about equally probable
    model.save_pretrained(folder)
    load_tokenizer(locate("tiny")).save_pretrained(folder)
    return model, VllmEngine(folder, bf16=False)


@pytest.fixture
def untied(engine: VllmEngine) -> Built:
    return load_model(locate("tiny"), torch.device("cpu")), engine


@pytest.fixture
def built(request: pytest.FixtureRequest) -> Built:
    """One of the two, by its name."""
    found: Built = request.getfixturevalue(request.param)
    return found
