"""Big vocabularies and long responses: every way to save memory or time computes what the plain way does."""

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from lagbench.harness.learn import logprobs as logprobs_module
from lagbench.harness.learn.forward import Forward
from lagbench.harness.learn.logprobs import token_logprobs
from lagbench.harness.learn.packing import require_packable
from lagbench.harness.learn.policy import Policy
from lagbench.harness.learn.recompute import recompute_layers
from lagbench.harness.learn.sequences import microbatches, sequences
from lagbench.harness.types import InputError, Rollouts

VOCABULARY, PAD = 40, 0
SHAPE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}


def gpt2() -> nn.Module:
    """A tied head, positions that are learned, and dropout, which may not act."""
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=32))


def phi() -> nn.Module:
    """A head of its own with a bias, rotary positions, shared keys."""
    return PhiForCausalLM(PhiConfig(vocab_size=VOCABULARY, num_key_value_heads=2, **SHAPE))


def qwen() -> nn.Module:
    """Its norms compute in fp32 whatever it is in."""
    return Qwen3ForCausalLM(Qwen3Config(vocab_size=VOCABULARY, num_key_value_heads=2, head_dim=4, **SHAPE))


MODELS = {"gpt2": (gpt2, 1e-10), "phi": (phi, 1e-10), "qwen": (qwen, 1e-5)}  # with their rounding


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> tuple[nn.Module, float]:
    return made(MODELS[request.param][0]), MODELS[request.param][1]


def made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = make().double().eval()
    for value in model.parameters():  # biases of zero and norms of one would hide mistakes
        torch.nn.init.normal_(value, std=0.3)
    return model


def ragged(seed: int, groups: int, size: int, width: int, prompts: tuple[int, ...]) -> Rollouts:
    """Made-up responses of 0 to `width` tokens, behind prompts of these lengths in turn."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, width + 1, (groups * size,), generator=generator)
    lengths[int(torch.randint(len(lengths), (), generator=generator))] = width
    ids = torch.randint(1, VOCABULARY, (groups, 50), generator=generator).tolist()
    shape = (groups * size, width)
    return Rollouts(
        prompts=tuple(tuple(ids[i][: prompts[i % len(prompts)]]) for i in range(groups)),
        tokens=torch.randint(VOCABULARY, shape, generator=generator),
        mask=torch.arange(width) < lengths[:, None],
        behavior_logprobs=torch.zeros(shape),
        versions=torch.zeros(shape, dtype=torch.int32),
        stopped=torch.ones(groups * size, dtype=torch.bool),
    )


def computed(model: nn.Module, run, rollouts: Rollouts, gradient: Tensor | None = None) -> list[Tensor]:
    """Log-probabilities, entropies and the gradient of every weight, of a copy of the model under these settings."""
    policy = Policy(copy.deepcopy(model), run)
    forward = policy.forward(sequences(rollouts, PAD, policy.device))
    if gradient is None:
        gradient = torch.randn(rollouts.mask.shape, generator=torch.Generator().manual_seed(1)).to(forward.logprobs)
    forward.backward(gradient.to(forward.logprobs))
    return [forward.logprobs.detach(), forward.entropy, *(p.grad for p in policy.model.parameters())]


SETTINGS: list[dict[str, Any]] = [
    {"microbatch": 3},
    {"microbatch_tokens": 45},
    {"group_packing": True},
    {"group_packing": True, "microbatch": 5},
    {"group_packing": True, "microbatch_tokens": 60},
    {"gradient_checkpointing": True},
    {"gradient_checkpointing": True, "group_packing": True},
    {"gradient_checkpointing": True, "group_packing": True, "microbatch_tokens": 60},
]
BATCHES = {
    "padded prompts": (4, 3, 6, (5, 2, 9)),
    "equal prompts": (4, 3, 6, (4,)),
    "one response a group": (5, 1, 4, (3, 7)),
    "one token": (3, 4, 1, (6, 2)),
}


@pytest.mark.parametrize("shape", BATCHES.values(), ids=BATCHES)
def test_every_setting_computes_the_same(
    run, monkeypatch, model: tuple[nn.Module, float], shape: tuple[Any, ...]
) -> None:
    """In float64; with the head whole and in tiles of five."""
    groups, size = shape[:2]
    of = {"prompts_per_update": groups, "responses_per_prompt": size, "temperature": 0.7}
    rollouts = ragged(groups * size, *shape)
    network, rounding = model
    plain = computed(network, run(**of), rollouts)
    monkeypatch.setattr(logprobs_module, "SIDE", {"cpu": 5})
    for settings, kept in itertools.product(({}, *SETTINGS), (2**25, 0)):
        monkeypatch.setattr(logprobs_module, "KEPT_LOGITS", kept)
        found = computed(network, run(**of, **settings), rollouts)
        torch.testing.assert_close(found, plain, rtol=rounding, atol=rounding)


def test_plain_way_by_hand(run) -> None:
    """The plain way itself, against every response alone through the whole model, unpadded."""
    rollouts, model = ragged(7, 3, 2, 5, (4, 2)), made(phi)
    logprobs, entropy, *gradients = computed(model, run(responses_per_prompt=2, temperature=0.7), rollouts)
    gradient = torch.randn(rollouts.mask.shape, generator=torch.Generator().manual_seed(1)).double()
    for row in range(6):
        prompt, response = rollouts.prompts[row // 2], rollouts.tokens[row][rollouts.mask[row]]
        logits = model(torch.tensor([[*prompt, *response.tolist()]])).logits[0, len(prompt) - 1 : -1] / 0.7
        own = logits.log_softmax(-1)
        chosen = own.gather(1, response[:, None]).squeeze(1)
        torch.testing.assert_close(logprobs[row, : len(response)], chosen)
        torch.testing.assert_close(entropy[row, : len(response)], -(own.exp() * own).sum(1))
        assert not logprobs[row, len(response) :].any() and not entropy[row, len(response) :].any()
        if len(response):
            (chosen * gradient[row, : len(response)]).sum().backward()
    torch.testing.assert_close(gradients, [p.grad for p in model.parameters()])


@pytest.mark.parametrize("settings", [{}, *SETTINGS], ids=str)
def test_gradient_of_zero(run, monkeypatch, settings: dict[str, Any]) -> None:
    """Every weight has a gradient, and it is zero: AdamW's momentum goes on."""
    monkeypatch.setattr(logprobs_module, "KEPT_LOGITS", 0)
    rollouts = ragged(3, 3, 2, 4, (5, 2))
    _, _, *gradients = computed(made(phi), run(responses_per_prompt=2, **settings), rollouts, torch.zeros(6, 4))
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


@pytest.mark.parametrize("settings", [{}, {"microbatch": 2}, SETTINGS[-2]], ids=str)
def test_backward_again(run, settings: dict[str, Any]) -> None:
    """Two gradients one after the other through one forward pass add up, as a probe has them."""
    rollouts, values = ragged(5, 2, 3, 4, (5, 2)), torch.randn(2, 6, 4).double()
    model = made(gpt2)
    _, _, *expected = computed(model, run(responses_per_prompt=3), rollouts, values.sum(0))
    policy = Policy(model, run(responses_per_prompt=3, **settings))
    forward = policy.forward(sequences(rollouts, PAD, policy.device))
    forward.backward(values[0], again=True)
    forward.backward(values[1])
    torch.testing.assert_close([p.grad for p in model.parameters()], expected)


# -- the head -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("side", [1, 4, 7, 64])
def test_head_in_tiles(monkeypatch, bias: bool, side: int) -> None:
    """Against the definition, in float64: values, entropies, gradients by hidden states, weights and bias."""
    torch.manual_seed(side)
    head, targets = nn.Linear(8, 30, bias=bias).double(), torch.randint(0, 30, (11,))
    hidden, given = 3 * torch.randn(11, 8, dtype=torch.float64, requires_grad=True), torch.randn(11).double()
    given[[0, 4, 5]] = 0  # left out by backward
    distribution = torch.distributions.Categorical(logits=head(hidden) / 0.7)
    expected = distribution.log_prob(targets)
    monkeypatch.setattr(logprobs_module, "KEPT_LOGITS", 0)
    monkeypatch.setattr(logprobs_module, "SIDE", {"cpu": side})
    found, entropy = token_logprobs(hidden, head, targets, 0.7)
    assert not entropy.requires_grad
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(entropy, distribution.entropy().detach())
    of = [hidden, *head.parameters()]
    torch.testing.assert_close(torch.autograd.grad(found, of, given), torch.autograd.grad(expected, of, given))


def test_head_far_from_zero(monkeypatch) -> None:
    """Logits of hundreds, in fp32: exponentials neither overflow nor vanish, whichever tile holds the largest."""
    monkeypatch.setattr(logprobs_module, "SIDE", {"cpu": 2})
    logits, targets = torch.tensor([[300.0, 299, 1, -300, 298], [-500, -501, -500, -900, -503]]), torch.arange(2)
    head = nn.Linear(5, 5, bias=False)
    head.weight.data = torch.eye(5)
    of = [logits.requires_grad_(), head.weight]
    found = {}
    for kept in (2**25, 0):
        monkeypatch.setattr(logprobs_module, "KEPT_LOGITS", kept)
        chosen, entropy = token_logprobs(logits, head, targets, 1.0)
        found[kept] = [chosen, entropy, *torch.autograd.grad(chosen, of, torch.ones(2))]
    torch.testing.assert_close(found[0], found[2**25], rtol=1e-4, atol=1e-6)  # 500 has steps of 3e-5
    assert entropy[0] > 0.8


class Largest(TorchDispatchMode):
    """Records the elements of the largest tensor that anything computes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        sizes = [value.numel() for value in tree_leaves(out) if isinstance(value, Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return out


def test_head_never_holds_all_logits(monkeypatch) -> None:
    """The largest tensor of forward and backward is the weights' gradient; plain, it is the logits."""
    monkeypatch.setattr(logprobs_module, "SIDE", {"cpu": 32})
    head, hidden = nn.Linear(4, 1000, bias=False), torch.randn(500, 4, requires_grad=True)
    largest = {}
    for kept in (2**25, 0):
        monkeypatch.setattr(logprobs_module, "KEPT_LOGITS", kept)
        with Largest() as seen:
            token_logprobs(hidden, head, torch.zeros(500, dtype=torch.long), 1.0)[0].sum().backward()
        largest[kept] = seen.elements
    assert largest == {2**25: 500 * 1000, 0: 1000 * 4}
