"""Big vocabularies and long responses: every way to save memory or time computes what the plain way does."""

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_suites import SMALL
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

from lagbench.harness import store
from lagbench.harness.learn import logprobs as logprobs_module
from lagbench.harness.learn.forward import Forward
from lagbench.harness.learn.logprobs import token_logprobs
from lagbench.harness.learn.loop import train
from lagbench.harness.learn.packing import require_packable
from lagbench.harness.learn.policy import Policy
from lagbench.harness.learn.recompute import recompute_layers
from lagbench.harness.learn.sequences import microbatches, sequences
from lagbench.harness.registry import OBJECTIVES
from lagbench.harness.sweep.cell import assemble_trainer
from lagbench.harness.sweep.expand import task_of
from lagbench.harness.types import InputError, Rollouts
from lagbench.harness.verify import Verifier

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


def test_microbatches_by_tokens(run) -> None:
    """Every response once, none over the limit but one that is alone; few columns are padding."""
    rollouts = ragged(2, 6, 4, 12, (3, 9, 20))
    whole = sequences(rollouts, PAD, torch.device("cpu"))
    for packing, limit in itertools.product((False, True), (20, 70, 200)):
        settings = {"responses_per_prompt": 4, "group_packing": packing, "microbatch_tokens": limit}
        parts = microbatches(whole, run(**settings))
        assert sorted(torch.cat([part.places for part in parts]).tolist()) == list(range(24))
        for part in parts:
            its, unit = part.sequences, 4 if packing else 1
            rows, width = its.mask.shape
            assert width == int(rollouts.mask[part.places].sum(1).max())
            assert its.start == max(len(rollouts.prompts[place // 4]) for place in part.places)
            assert rows == unit or rows // unit * its.start + rows * width <= limit
            for row, place in enumerate(part.places):
                mask = torch.ones(its.start) if its.attention_mask is None else its.attention_mask[row, : its.start]
                prompt = its.input_ids[row, : its.start][mask.bool()]
                assert prompt.tolist() == list(rollouts.prompts[place // 4])
                own = rollouts.tokens[place][rollouts.mask[place]]
                assert its.input_ids[row, its.start :][its.mask[row]].equal(own)
        if packing:
            assert all((part.places.view(-1, 4) // 4).diff().eq(0).all() for part in parts)
    by_rows = microbatches(whole, run(responses_per_prompt=4, group_packing=True, microbatch=10))
    assert [len(part.places) for part in by_rows] == [8, 8, 8]
    assert len(microbatches(whole, run(responses_per_prompt=4, group_packing=True, microbatch=1))) == 6


def test_ignored_microbatches_change_nothing(run) -> None:
    """What processes that wait for others add: passes whose results and gradients are left out."""

    class Waiting(Forward):
        def _divided(self, batch):
            parts = super()._divided(batch)
            return [*parts, parts[0].ignored()]

        def _needed(self, gradients):
            return [True] * len(gradients)

    rollouts, settings = ragged(4, 3, 2, 5, (4, 7)), run(responses_per_prompt=2, microbatch_tokens=30)
    logprobs, entropy, *gradients = computed(made(phi), settings, rollouts)
    model = made(phi)
    forward = Waiting(model, settings, sequences(rollouts, PAD, model.device))
    gradient = torch.randn(rollouts.mask.shape, generator=torch.Generator().manual_seed(1)).to(forward.logprobs)
    forward.backward(gradient)
    assert torch.equal(forward.logprobs, logprobs) and torch.equal(forward.entropy, entropy)
    torch.testing.assert_close([p.grad for p in model.parameters()], gradients)


# -- group packing --------------------------------------------------------------------------------------------------


def test_a_prompt_is_read_once(run) -> None:
    rollouts, model, read = ragged(1, 3, 4, 5, (6,)), made(gpt2), []
    model.transformer.register_forward_pre_hook(lambda module, given: read.append(given[0].numel()))
    computed(model, run(responses_per_prompt=4, group_packing=True), rollouts)
    assert read == [3 * 6, 12 * 4]  # prompts; responses without their last token


def test_a_model_that_forgets_cannot_be_packed(run) -> None:
    model = MistralForCausalLM(MistralConfig(vocab_size=VOCABULARY, num_key_value_heads=2, sliding_window=8, **SHAPE))
    with pytest.raises(InputError, match=r"MistralForCausalLM keeps DynamicSlidingWindowLayer between tokens.*leave"):
        Policy(model, run(group_packing=True))
    model.config.sliding_window = None
    require_packable(model)


# -- gradient checkpointing -----------------------------------------------------------------------------------------


def kept_for_backward(model: nn.Module, run, rollouts: Rollouts) -> int:
    """Elements that a forward pass keeps, weights left out."""
    weights, kept = {p.data_ptr() for p in model.parameters()}, {}

    def keep(value: Tensor) -> Tensor:
        if value.data_ptr() not in weights:
            kept[value.data_ptr()] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        Policy(model, run).forward(sequences(rollouts, PAD, model.device))
    return sum(value.numel() for value in kept.values())


@pytest.mark.parametrize("packing", [False, True])
def test_layers_keep_only_their_input(run, packing: bool) -> None:
    config = Qwen3Config(vocab_size=VOCABULARY, num_key_value_heads=2, head_dim=4, **SHAPE | {"num_hidden_layers": 6})
    rollouts, kept = ragged(0, 2, 4, 30, (30,)), {}
    for recompute in (False, True):
        settings = run(responses_per_prompt=4, group_packing=packing, gradient_checkpointing=recompute)
        kept[recompute] = kept_for_backward(Qwen3ForCausalLM(config).eval(), settings, rollouts)
    assert kept[True] < 0.25 * kept[False]


def test_a_copy_recomputes_its_own_layers(run) -> None:
    """A sampler with rounded weights and a sharded learner are copies of a model that is checkpointed already."""
    model = made(phi)
    recompute_layers(model)
    other = copy.deepcopy(model)
    for value in model.parameters():
        value.data.zero_()
    ids = torch.arange(1, 9)[None]
    with torch.no_grad():
        expected = made(phi)(ids).logits
        torch.testing.assert_close(other(ids).logits, expected)
    logits = other(ids).logits
    torch.testing.assert_close(logits, expected)
    logits.sum().backward()
    assert all(p.grad is None for p in model.parameters()) and other.lm_head.weight.grad.any()


def test_a_model_without_such_layers_is_refused(run) -> None:
    model = made(phi)
    model.model.layers = nn.ModuleList([nn.Identity()])
    with pytest.raises(InputError, match="PhiForCausalLM has no layers that support it"):
        Policy(model, run(gradient_checkpointing=True))


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


def test_from_the_command_line(run, lagbench, tmp_path: Path) -> None:
    """All settings at once measure what none of them does, to rounding."""
    settings = ("group_packing=true", "microbatch_tokens=300", "gradient_checkpointing=true")
    small = ("objectives=grpo", "baseline=grpo", "lags=0", "updates=1", "eval_problems=2", "eval_samples=1")
    done = lagbench("run", "quick", *SMALL, *small, *settings)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("results/runs/*/grpo-*/metrics.jsonl")
    (found,) = store.read_lines(path)
    plain = run(objective="grpo", updates=1)
    with Verifier(task_of(plain)) as verifier:
        trainer = assemble_trainer(plain, task_of(plain), verifier)
        (expected,) = train(trainer, OBJECTIVES.get("grpo"), tmp_path)
    for key in ("loss", "nll", "entropy", "gradient_norm", "reward", "weight_negative"):
        assert found[key] == pytest.approx(expected[key], rel=1e-4, abs=1e-6)
