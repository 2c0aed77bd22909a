"""What every sampler keeps, whatever draws: tests to inherit, with a fixture that makes the sampler."""

from collections.abc import Callable

import pytest
import torch

from lagbench.harness.learn.forward import response_logprobs
from lagbench.harness.learn.sequences import sequences
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.prompts import prompt_form
from lagbench.harness.rollout import Sampler
from lagbench.harness.rollout.stopping import StopStrings, cut
from lagbench.harness.rollout.text import Codec
from lagbench.harness.types import Rollouts, Task

TOKENIZER = load_tokenizer(locate("tiny"))
STOP, PAD = TOKENIZER.eos_token_id, TOKENIZER.pad_token_id
MIXED = [TOKENIZER(text).input_ids for text in ("3+5-2=", "7-9=", "4+4+4+4-1=", "0-0-9=")]
Make = Callable[..., Sampler]


def noise(groups: int, samples: int = 3, seed: int = 5) -> Noise:
    return Noise(TRAINING, seed, 2, tuple(range(groups)), samples)


@torch.no_grad()
def moved(model, seed: int = 0):
    """The model with normal noise of 3 % of each weight's own spread added to it, in place."""
    generator = torch.Generator().manual_seed(seed)
    for value in model.parameters():
        value += 0.03 * value.std() * torch.randn(value.shape, generator=generator)
    return model


def logprobs_of(model, rollouts: Rollouts, temperature: float = 1.0) -> torch.Tensor:
    with torch.no_grad():
        return response_logprobs(model, sequences(rollouts, PAD, torch.device("cpu")), temperature)[0]


def texts_of(rollouts: Rollouts) -> list[str]:
    return TOKENIZER.batch_decode(
        [row[mask].tolist() for row, mask in zip(rollouts.tokens, rollouts.mask, strict=True)]
    )


class SamplerProtocol:
    """`make(model, version=7, max_tokens=12, temperature=1.0, stops=None)` draws from a tiny model as it is then."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        return load_model(locate("tiny"), torch.device("cpu"))

    @pytest.fixture(scope="class")
    @classmethod
    def changed(cls):
        """The same after an update that can be seen in every token."""
        return moved(load_model(locate("tiny"), torch.device("cpu")))

    def test_layout(self, make: Make, model) -> None:
        """Right-padded with zeros, the end of sequence on the mask, cut responses marked."""
        rollouts = make(model, max_tokens=6).sample(MIXED, noise(4, samples=8))
        lengths = rollouts.mask.sum(1)
        assert rollouts.group_size == 8 and rollouts.prompts == tuple(map(tuple, MIXED))
        assert torch.equal(rollouts.mask, torch.arange(rollouts.mask.shape[1]) < lengths[:, None])
        assert (rollouts.tokens[~rollouts.mask] == 0).all() and (rollouts.behavior_logprobs[~rollouts.mask] == 0).all()
        last = rollouts.tokens.gather(1, lengths[:, None] - 1).squeeze(1)
        assert torch.equal(last == STOP, rollouts.stopped)
        assert 0 < rollouts.stopped.sum() < len(rollouts.stopped)
        assert (lengths[~rollouts.stopped] == 6).all()
        assert (rollouts.versions[rollouts.mask] == 7).all()
        kinds = {value.dtype for value in (rollouts.tokens, rollouts.behavior_logprobs, rollouts.versions)}
        assert kinds == {torch.int64, torch.float32, torch.int32}

    def test_draws_in_proportion(self, make: Make, model) -> None:
        """First tokens after each of two prompts, against the model's own distribution at another temperature."""
        rollouts = make(model, max_tokens=1, temperature=1.5).sample(MIXED[:2], noise(2, samples=1000))
        for group, prompt in enumerate(MIXED[:2]):
            with torch.no_grad():
                expected = 1000 * (model(torch.tensor([prompt])).logits[0, -1] / 1.5).softmax(-1).double()
            counted = rollouts.tokens[1000 * group : 1000 * (group + 1), 0].bincount(minlength=len(expected))
            often = expected >= 5
            table = [torch.cat([side[often], side[~often].sum()[None]]) for side in (counted.double(), expected)]
            chi_square = ((table[0] - table[1]).square() / table[1].clamp(min=1e-9)).sum()
            assert often.sum() > 4 and chi_square < 40  # 99.9 % of chi-square with 16 degrees of freedom: 39.3

    @pytest.mark.parametrize("temperature", [1.0, 0.7])
    def test_behavior_logprobs_are_those_of_the_policy(self, make: Make, model, temperature: float) -> None:
        rollouts = make(model, temperature=temperature).sample(MIXED, noise(4))
        found = logprobs_of(model, rollouts, temperature)
        torch.testing.assert_close(found, rollouts.behavior_logprobs, rtol=0, atol=2e-5)

    def test_response_does_not_depend_on_its_batch(self, make: Make, model) -> None:
        together = make(model).sample(MIXED, noise(4))
        for group, prompt in enumerate(MIXED):
            alone = make(model).sample([prompt], Noise(TRAINING, 5, 2, (group,), 3))
            rows = slice(3 * group, 3 * group + 3)
            width = alone.tokens.shape[1]
            assert torch.equal(alone.tokens, together.tokens[rows, :width])
            assert torch.equal(alone.mask, together.mask[rows, :width])
            found = together.behavior_logprobs[rows, :width]
            torch.testing.assert_close(alone.behavior_logprobs, found, rtol=0, atol=2e-5)
        other = make(model).sample(MIXED, noise(4, seed=6))
        assert texts_of(other) != texts_of(together)

    def test_in_flight_segments_end_where_planned_and_go_on_under_other_weights(
        self, make: Make, model, changed
    ) -> None:
        """Tokens up to the switch are kept as they were; those behind it are the next version's own."""
        ends = [2, 3, 4, 30]
        begun = make(model, version=7).sample(MIXED, noise(4, samples=8), ends=ends)
        lengths = begun.mask.sum(1)
        limits = torch.tensor([2, 3, 4, 12]).repeat_interleave(8)
        assert (lengths <= limits).all() and torch.equal(lengths[~begun.stopped], limits[~begun.stopped])
        whole = make(changed, version=9).sample(MIXED, noise(4, samples=8), begun=begun)
        width = begun.mask.shape[1]
        for name in ("tokens", "behavior_logprobs", "versions"):
            assert torch.equal(getattr(whole, name)[:, :width][begun.mask], getattr(begun, name)[begun.mask])
        assert torch.equal(whole.mask.sum(1)[begun.stopped], lengths[begun.stopped])
        later = whole.versions == 9
        assert (whole.versions[whole.mask & ~later] == 7).all() and later.any(1)[~begun.stopped][:8].all()
        assert (torch.arange(whole.mask.shape[1]) >= lengths[:, None])[later].all()
        apart = (logprobs_of(changed, whole) - whole.behavior_logprobs).abs()
        assert apart[later].max() < 2e-5 and apart[whole.mask & ~later].max() > 1e-2
        again = make(changed, version=9).sample(MIXED, noise(4, samples=8), ends=[2, 3, 4, 12], begun=whole)
        assert torch.equal(again.tokens, whole.tokens) and torch.equal(again.mask, whole.mask)  # nothing left to draw

    def test_a_response_ends_with_the_token_that_completes_a_stop_string(self, make: Make, model) -> None:
        """In flight, too, where the string may straddle two segments; what comes behind it is not there."""
        for strings in ((";1",), ("#-", "4#"), ("6", "#10")):
            stops = StopStrings(strings, TOKENIZER)
            bound = make(model, stops=stops)
            for rollouts in (
                bound.sample(MIXED, noise(4, samples=16)),
                bound.sample(
                    MIXED,
                    noise(4, samples=16),
                    begun=bound.sample(MIXED, noise(4, samples=16), ends=[2, 3, 4, 5]),
                ),
            ):
                texts, ended = texts_of(rollouts), 0
                lengths = rollouts.mask.sum(1).tolist()
                for row, text in enumerate(texts):
                    before = TOKENIZER.decode(rollouts.tokens[row, : lengths[row] - 1].tolist())
                    found = any(string in text for string in strings)
                    assert not any(string in before for string in strings)  # the last token completes it
                    assert bool(rollouts.stopped[row]) == (found or int(rollouts.tokens[row, lengths[row] - 1]) == STOP)
                    ended += found
                assert ended > 2

    def test_only_the_text_before_a_stop_string_is_graded(self, make: Make, model) -> None:
        task = Task([], [], prompt="{question}", stops=(";1",))
        codec = Codec(TOKENIZER, task, prompt_form("plain"))
        rollouts = make(model, stops=codec.stops).sample(MIXED, noise(4, samples=16))
        texts = codec.decode(rollouts)
        assert any(";1" in text for text in texts_of(rollouts)) and not any(";1" in text for text in texts)
        assert [cut(text, (";1",)).removesuffix(TOKENIZER.eos_token) for text in texts_of(rollouts)] == texts

    def test_rollouts_fit_a_checkpoint(self, make: Make, model) -> None:
        """What waits in the inbox is small: token ids, log-probabilities and versions, on the CPU, of their own."""
        rollouts = make(model).sample(MIXED, noise(4))
        tensors = [value for value in vars(rollouts).values() if isinstance(value, torch.Tensor)]
        assert isinstance(rollouts, Rollouts) and all(tensor.device.type == "cpu" for tensor in tensors)
        assert sum(t.numel() * t.element_size() for t in tensors) < 12 * 12 * 20
