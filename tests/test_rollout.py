"""The torch sampler against a slow reference, and noise that depends on nothing but its address."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sampler_protocol import MIXED, PAD, STOP, TOKENIZER, SamplerProtocol, noise

from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model
from lagbench.harness.noise import EVALUATION, TRAINING, Noise, prompt_order, stream
from lagbench.harness.prompts import prompt_form
from lagbench.harness.registry import load_task
from lagbench.harness.rollout.stopping import StopStrings, cut
from lagbench.harness.rollout.text import Codec, stop_ids
from lagbench.harness.rollout.torch_sampler import TorchSampler, inverse_cdf


@pytest.fixture(scope="module")
def model():
    return load_model(locate("tiny"), torch.device("cpu"))


def sampler(model, max_tokens: int = 12, temperature: float = 1.0) -> TorchSampler:
    return TorchSampler(model, lambda: 7, (STOP,), PAD, max_tokens, temperature)


class TestTorchSampler(SamplerProtocol):
    @pytest.fixture
    def make(self):
        def make(model, version: int = 7, max_tokens: int = 12, temperature: float = 1.0, stops=None) -> TorchSampler:
            return replace(sampler(model, max_tokens, temperature), version=lambda: version, stops=stops)

        return make


def slow_reference(model, prompts, uniforms, max_tokens: int, temperature: float):
    """One response at a time, one token at a time, no cache, no padding."""
    responses = []
    for row, uniform in enumerate(uniforms):
        prompt, tokens, logprobs = prompts[row // (len(uniforms) // len(prompts))], [], []
        while len(tokens) < max_tokens and STOP not in tokens:
            with torch.no_grad():
                logits = model(torch.tensor([prompt + tokens])).logits[0, -1].double() / temperature
            distribution = logits.log_softmax(-1)
            cumulative = distribution.exp().cumsum(-1)
            tokens.append(int((cumulative <= uniform[len(tokens)] * cumulative[-1]).sum()))
            logprobs.append(float(distribution[tokens[-1]]))
        responses.append((tokens, logprobs))
    return responses


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_equals_slow_reference_for_prompts_of_different_lengths(model, temperature: float) -> None:
    rollouts = sampler(model, temperature=temperature).sample(MIXED, noise(4))
    expected = slow_reference(model, MIXED, noise(4).uniforms(12), 12, temperature)
    for row, (tokens, logprobs) in enumerate(expected):
        mask = rollouts.mask[row]
        assert rollouts.tokens[row][mask].tolist() == tokens
        torch.testing.assert_close(rollouts.behavior_logprobs[row][mask], torch.tensor(logprobs), rtol=0, atol=2e-5)
        assert bool(rollouts.stopped[row]) == (STOP in tokens)
    assert (rollouts.versions[rollouts.mask] == 7).all()
    assert len({len(tokens) for tokens, _ in expected}) > 1  # responses of different lengths, or this shows little


def test_prompts_are_computed_once_and_finished_rows_leave(model, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    forward = model.forward

    def counting(ids, **options):
        shapes.append(tuple(ids.shape))
        return forward(ids, **options)

    monkeypatch.setattr(model, "forward", counting)
    prompts = [TOKENIZER(p.question).input_ids for p in load_task("chain", {}).train[:8]]
    rollouts = sampler(model).sample(prompts, noise(8, samples=4))
    assert shapes[0] == (8, 6)  # eight prompts, not 32
    still_going = [int(rollouts.mask[:, t].sum()) for t in range(1, rollouts.mask.shape[1])]
    assert shapes[1:] == [(rows, 1) for rows in still_going]
    assert still_going[-1] < still_going[0]


def test_inverse_cdf_by_value() -> None:
    logprobs = torch.tensor([[0.2, 0.0, 0.5, 0.3]]).log().expand(6, 4)
    uniform = torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71, 0.9999], dtype=torch.float64)
    assert inverse_cdf(logprobs, uniform).tolist() == [0, 0, 2, 2, 3, 3]
    impossible_first = torch.tensor([[0.0, 0.5, 0.5]]).log()
    assert inverse_cdf(impossible_first, torch.tensor([0.0], dtype=torch.float64)).tolist() == [1]


def test_inverse_cdf_draws_in_proportion() -> None:
    probabilities = torch.softmax(torch.randn(50, generator=torch.Generator().manual_seed(0)), 0)
    points = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    drawn = inverse_cdf(probabilities.log().expand(10_000, 50), points).bincount(minlength=50)
    assert (drawn / 10_000 - probabilities).abs().max() < 1.01e-4  # an even grid misses by one point at most


def test_noise_depends_on_its_address_only() -> None:
    whole = Noise(TRAINING, 1, 4, (0, 1, 2), 3).uniforms(6)
    assert (Noise(TRAINING, 1, 4, (2, 0), 3).uniforms(6) == whole[[6, 7, 8, 0, 1, 2]]).all()
    assert (Noise(TRAINING, 1, 4, (0, 1, 2), 3).uniforms(4) == whole[:, :4]).all()
    others = [
        Noise(TRAINING, 2, 4, (0,), 1),
        Noise(TRAINING, 1, 5, (0,), 1),
        Noise(TRAINING, 1, 4, (1,), 1),
        Noise(EVALUATION, 1, 4, (0,), 1),
    ]
    for other in others:
        assert not np.isin(other.uniforms(6), whole[0]).any()


def test_noise_is_uniform_and_uncorrelated() -> None:
    values = Noise(TRAINING, 0, 0, tuple(range(100)), 10).uniforms(20)  # [1000, 20]
    assert abs(values.mean() - 0.5) < 4 / np.sqrt(12 * values.size)
    histogram = np.histogram(values, bins=20, range=(0, 1))[0]
    chi_square = ((histogram - 1000) ** 2 / 1000).sum()
    assert chi_square < 43.8  # 99.9 % of chi-square with 19 degrees of freedom
    correlation = np.corrcoef(values.T)[np.triu_indices(20, 1)]
    assert abs(correlation).max() < 5 / np.sqrt(1000)


def test_noise_golden_values() -> None:
    """The stream is Philox with this key and counter: published results depend on it."""
    expected = np.random.Generator(np.random.Philox(key=[3, 1], counter=[0, 2, 5, 9])).random(3)
    assert stream(TRAINING, 3, update=9, group=5, sample=2).random(3).tolist() == expected.tolist()


def test_prompt_order_visits_every_problem_once_an_epoch() -> None:
    order = prompt_order(seed=0, updates=6, groups=4, num_problems=10)
    flat = order.ravel().tolist()
    assert order.shape == (6, 4)
    assert sorted(flat[:10]) == sorted(flat[10:20]) == list(range(10))
    assert flat[:10] != flat[10:20]
    assert (prompt_order(0, 6, 4, 10) == order).all() and (prompt_order(1, 6, 4, 10) != order).any()
    assert prompt_order(0, 0, 4, 10).shape == (0, 4)


def test_codec_round_trip(model) -> None:
    task = load_task("chain", {})
    codec = Codec(TOKENIZER, task, prompt_form("plain"))
    assert len(codec.encode(task.train[0])) == 6
    rollouts = sampler(model).sample([codec.encode(task.train[0])], noise(1, samples=2))
    ids = [row[mask].tolist() for row, mask in zip(rollouts.tokens, rollouts.mask, strict=True)]
    assert codec.decode(rollouts) == [TOKENIZER.decode([i for i in row if i != STOP]) for row in ids]
    assert stop_ids(model, TOKENIZER) == (STOP,)
    assert Codec(TOKENIZER, task, prompt_form("boxed")).stops.strings == ()


def test_text_is_cut_at_the_first_stop_string() -> None:
    assert cut("a b c b", ("b", "c")) == "a " and cut("a b c", ("x",)) == "a b c" and cut("a", ()) == "a"


@pytest.mark.parametrize("strings", [(";1",), ("#-", "4#"), ("6", "#10")])
def test_a_response_ends_with_the_token_that_completes_a_stop_string(model, strings: tuple[str, ...]) -> None:
    """Against the same draws without one; in flight, too, where the string may straddle two versions."""
    free, bound = sampler(model), replace(sampler(model), stops=StopStrings(strings, TOKENIZER))
    whole, stopped = free.sample(MIXED, noise(4, samples=16)), bound.sample(MIXED, noise(4, samples=16))
    begun = bound.sample(MIXED, noise(4, samples=16), ends=[2, 3, 4, 5])
    continued = bound.sample(MIXED, noise(4, samples=16), begun=begun)
    assert torch.equal(continued.tokens, stopped.tokens) and torch.equal(continued.stopped, stopped.stopped)
    ended = 0
    for row in range(64):
        tokens = whole.tokens[row][whole.mask[row]].tolist()
        texts = [TOKENIZER.decode(tokens[: t + 1]) for t in range(len(tokens))]
        length = next((t + 1 for t, text in enumerate(texts) if any(s in text for s in strings)), len(tokens))
        assert stopped.tokens[row][stopped.mask[row]].tolist() == tokens[:length]
        assert stopped.stopped[row] == (
            length < len(tokens) or bool(whole.stopped[row]) or texts[-1] != cut(texts[-1], strings)
        )
        ended += length < len(tokens)
    assert ended > 2
