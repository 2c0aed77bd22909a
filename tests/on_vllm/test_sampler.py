"""The vLLM sampler: what every sampler keeps, and what an engine with weights of its own adds to it."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
import torch
from sampler_protocol import MIXED, STOP, SamplerProtocol, logprobs_of, moved, noise
from transformers import AutoConfig, AutoModelForCausalLM

from lagbench.harness.learn.agreement import BF16, BF16_LIMIT, LIMIT, ROUNDING, Agreement, Bound, EngineMismatch
from lagbench.harness.models import locate
from lagbench.harness.models.load import load_model, load_tokenizer
from lagbench.harness.noise import TRAINING, Noise
from lagbench.harness.rollout.mismatch import make_mismatch
from lagbench.harness.rollout.vllm_engine import VllmEngine, _load
from lagbench.harness.rollout.vllm_sampler import FollowingSampler, VllmSampler
from lagbench.harness.types import InputError, Rollouts

LONG = [(MIXED[0] * 16)[:length] for length in (40, 33, 40, 36)]  # prompts of more than one cache block


def weights_of(model):
    return ((name, value.detach()) for name, value in model.named_parameters())


def following(engine: VllmEngine, model, version: int = 7, **options: object) -> FollowingSampler:
    settings = {"max_tokens": 12, "temperature": 1.0} | options
    sampler = VllmSampler(engine, (STOP,), **settings)
    return FollowingSampler(sampler, object(), partial(weights_of, model), lambda: version)


class TestVllmSampler(SamplerProtocol):
    @pytest.fixture
    def make(self, engine: VllmEngine):
        return partial(following, engine)


def gap(model, version: int, rollouts: Rollouts, bound: Bound | None = ROUNDING, temperature: float = 1.0) -> float:
    """As training measures it; EngineMismatch where rounding does not explain it."""
    policy = SimpleNamespace(model=model, version=version, device=torch.device("cpu"))
    return Agreement(policy, 0, temperature, bound).measure([rollouts])["engine_gap_mean"]


@pytest.mark.parametrize("built", ["untied", "tied"], indirect=True)
def test_after_every_update_the_engine_draws_with_the_learners_weights(built) -> None:
    """The same long prompts each time, so that what the cache holds of them is of the version before."""
    model, engine = built
    drawn = []
    for version in range(1, 5):
        moved(model, version)
        drawn.append(following(engine, model, version, max_tokens=20).sample(LONG, noise(4, samples=4)))
        assert gap(model, version, drawn[-1]) < LIMIT
    with pytest.raises(EngineMismatch, match=r"version 3: .* nats off the learner's"):
        gap(model, 3, replace(drawn[1], versions=drawn[1].versions + 1))  # what version 2 has drawn, said to be 3's


def test_a_stale_head_is_noticed(tied) -> None:
    """What vLLM does with tied embeddings when nobody asks it to pack the head again."""
    model, engine = tied
    engine.tied = False
    try:
        rollouts = following(engine, moved(model, 7), 8).sample(LONG, noise(4))
        with pytest.raises(EngineMismatch, match=r"version 8: the engine's log-probabilities .* output head"):
            gap(model, 8, rollouts)
        assert gap(model, 8, rollouts, BF16) < BF16_LIMIT / 2  # so little that bfloat16 may be the cause
        for seed in range(400):
            moved(model, seed)
        rollouts = following(engine, model, 9).sample(LONG, noise(4))
        with pytest.raises(EngineMismatch, match=r"version 9: .* rounding explains 0\.1 at most"):
            gap(model, 9, rollouts, BF16)
    finally:
        engine.tied = True


def test_a_stale_prefix_cache_is_noticed(tied) -> None:
    model, engine = tied
    following(engine, model, 9).sample(LONG, noise(4))
    engine.model.collective_rpc(_load, args=(weights_of(moved(model, 9)), True))
    engine._label(10)
    rollouts = VllmSampler(engine, (STOP,), 12, 1.0).sample(LONG, noise(4))
    with pytest.raises(EngineMismatch, match="prefix cache"):
        gap(model, 10, rollouts)
    assert gap(model, 11, following(engine, model, 11).sample(LONG, noise(4))) < LIMIT


def test_a_prefix_cache_that_stays_ends_the_update(tied, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next sampler does not take the engine for up to date."""
    model, engine = tied
    sampler = following(engine, model, 12)
    sampler.sample(MIXED, noise(4))
    assert engine.held == (sampler.owner, 12)
    with monkeypatch.context() as patched:
        patched.setattr(engine.model.llm_engine.engine_core, "reset_prefix_cache", lambda **_: False)
        with pytest.raises(RuntimeError, match=r"version 13: vLLM did not empty its prefix cache"):
            engine.update(weights_of(model), 13)
    assert engine.held is None
    assert gap(model, 12, sampler.sample(MIXED, noise(4))) < LIMIT


@pytest.mark.parametrize("built", ["untied", "tied"], indirect=True)
def test_responses_in_flight_straddle_an_update(built) -> None:
    """`update` from another thread while `sample` runs: every token by the version that it is stamped with."""
    model, engine = built
    former, length = moved(model, 20), 48 if not engine.tied else 150
    before = type(model)(model.config).eval()
    before.load_state_dict(former.state_dict())
    sampler = VllmSampler(engine, (), length, 1.0)  # nothing ends a response but its length
    sampler.update(weights_of(before), 1)
    moved(model, 21)
    steps, step = [], engine.model.llm_engine.step

    def counted():
        steps.append(1)
        if len(steps) == 15:
            updater.start()
        return step()

    updater = Thread(target=lambda: sampler.update(weights_of(model), 2))
    engine.model.llm_engine.step = counted
    try:
        rollouts = sampler.sample(MIXED[:2], noise(2, samples=8))
    finally:
        engine.model.llm_engine.step = step
        updater.join()
    assert rollouts.mask.all() and rollouts.mask.shape == (16, length)
    assert set(rollouts.versions.unique().tolist()) == {1, 2}
    assert (rollouts.versions.diff(dim=1) >= 0).all()
    straddling = (rollouts.versions == 1).any(1) & (rollouts.versions == 2).any(1)
    assert straddling.all() and int((rollouts.versions == 1).sum(1).min()) > 5
    for version, policy, other in ((1, before, model), (2, model, before)):
        mine = rollouts.versions == version
        assert (logprobs_of(policy, rollouts) - rollouts.behavior_logprobs)[mine].abs().max() < 3e-5
        assert (logprobs_of(other, rollouts) - rollouts.behavior_logprobs)[mine].abs().mean() > 1e-2


def test_the_responses_to_a_prompt_are_one_request(engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, run = [], VllmEngine.run

    def spied(self, prompts, sampling):
        asked.append([(list(prompt), each.n, each.max_tokens) for prompt, each in zip(prompts, sampling, strict=True)])
        return run(self, prompts, sampling)

    monkeypatch.setattr(VllmEngine, "run", spied)
    sampler = VllmSampler(engine, (STOP,), 12, 1.0)
    begun = sampler.sample(MIXED, noise(4, samples=8), ends=[1, 2, 3, 12])
    sampler.sample(MIXED, noise(4, samples=8), begun=begun)
    assert asked[0] == [(prompt, 8, most) for prompt, most in zip(MIXED, (1, 2, 3, 12), strict=True)]
    going = (~begun.stopped & (begun.mask.sum(1) < 12)).nonzero().squeeze(-1).tolist()
    lengths = begun.mask.sum(1).tolist()
    assert asked[1] == [
        ([*MIXED[row // 8], *begun.tokens[row, : lengths[row]].tolist()], 1, 12 - lengths[row]) for row in going
    ]


def test_the_same_noise_gives_the_same_responses(engine: VllmEngine) -> None:
    sampler = VllmSampler(engine, (STOP,), 12, 1.0)
    first, again = (sampler.sample(MIXED, noise(4, samples=8)) for _ in range(2))
    assert torch.equal(first.tokens, again.tokens)
    later = sampler.sample(MIXED, Noise(TRAINING, 5, 3, (0, 1, 2, 3), 8))
    assert later.tokens.shape != first.tokens.shape or not torch.equal(later.tokens, first.tokens)
    assert len({tuple(row) for row in first.tokens[:8].tolist()}) > 1  # the responses of a group are not one


def test_mismatch_is_in_what_is_drawn_and_in_its_log_probabilities(engine: VllmEngine) -> None:
    model = load_model(locate("tiny"), torch.device("cpu"))
    hot = following(engine, model, mismatch=make_mismatch("temperature:1.3")).sample(MIXED, noise(4, samples=8))
    assert gap(model, 7, hot, temperature=1.3) < LIMIT
    assert gap(model, 7, hot, bound=None) > 1e-2
    narrow = following(engine, model, mismatch=make_mismatch("top_p:0.5")).sample(MIXED, noise(4, samples=8))
    mine = logprobs_of(model, narrow)[narrow.mask]
    assert (narrow.behavior_logprobs[narrow.mask] - mine > -1e-5).all()  # of fewer tokens, each more probable
    assert gap(model, 7, narrow, bound=None) > 1e-2


# From here on tests make engines of their own; when one of these is collected, those made before it end, too.


def test_bfloat16_is_a_mismatch_that_is_measured_and_not_refused() -> None:
    model = load_model(locate("tiny"), torch.device("cpu"))
    rounded = following(VllmEngine(locate("tiny"), bf16=True), model)
    found = gap(model, 7, rounded.sample(MIXED, noise(4, samples=8)), BF16)
    assert 1e-4 < found < 0.1


def test_a_context_longer_than_the_cache_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    """128 KiB a token and 1 GiB: 8192 tokens of 32768. What would need more is refused, and nothing cut short."""
    config = AutoConfig.for_model(
        "llama", vocab_size=17, hidden_size=64, intermediate_size=64, num_hidden_layers=4, num_attention_heads=32,
        num_key_value_heads=32, head_dim=128, max_position_embeddings=32768, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).float().eval()
    model.save_pretrained(tmp_path)
    load_tokenizer(locate("tiny")).save_pretrained(tmp_path)
    engine = VllmEngine(tmp_path, bf16=False)
    assert 7800 < engine.room <= 8192
    assert gap(model, 7, following(engine, model).sample(MIXED, noise(4))) < LIMIT
    with pytest.raises(InputError, match=rf"the engine takes {engine.room}: .* raise VLLM_CPU_KVCACHE_SPACE or lower"):
        following(engine, model, max_tokens=engine.room).sample(MIXED[:1], noise(1))
