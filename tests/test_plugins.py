"""Objectives from other packages: made by the scaffold, installed, checked, trained; and told clearly when broken."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_suites import knowing

from lagbench import InputError, Loss
from lagbench.harness.check import CHECKS, check_objective
from lagbench.harness.registry import BATCH_FIELDS, Registry
from lagbench.harness.types import Conventions

PLUGIN = Path(__file__).parent / "plugin"


def install(package: Path, target: Path) -> dict[str, str]:
    """pip-install a package into a folder of its own; returns the environment in which it is there."""
    copy = target / "source"
    shutil.copytree(package, copy)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*pip, str(target / "site"), str(copy)], check=True, capture_output=True)
    return knowing(target / "site")


def test_a_new_package_is_installed_listed_checked_and_trained(tmp_path: Path, lagbench) -> None:
    made = lagbench("new", "objective", "my_loss")
    assert made.returncode == 0, made.stderr
    package = tmp_path / "lagbench-my-loss"
    environment = install(package, tmp_path)
    listed = {row["name"]: row for row in json.loads(lagbench("list", "objectives", "--json", env=environment).stdout)}
    assert listed["my_loss"]["reads"] == ["logprobs", "behavior_logprobs", "advantages", "mask"]
    assert listed["my_loss"]["distribution"] == "lagbench-my-loss"
    checked = lagbench("check", "my_loss", env=environment)
    assert checked.returncode == 0 and len(checked.stdout.splitlines()) == len(CHECKS), checked.stdout
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert tested.returncode == 0 and "2 passed" in tested.stdout, tested.stdout
    small = ("updates=2", "prompts_per_update=2", "eval_problems=4", "eval_samples=2", "lags=1")
    ran = lagbench("run", "quick", "objectives=my_loss", *small, "--results", "out", env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "my_loss" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("My-Loss",), "'My-Loss' cannot name an objective"),
        (("class",), "'class' cannot name an objective"),
        (("x_",), "'x_' cannot name an objective"),
        (("all",), "'all' cannot name an objective"),
        (("mine", "--folder", "lock/x"), "cannot make lock/x"),
        (("grpo",), "'grpo' is registered already, by lagbench"),
        (("mine", "--folder", "."), ". exists; remove it or choose another --folder"),
    ],
)
def test_wrong_names_for_a_new_package(lagbench_here, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "lock").write_text("a file")
    made = lagbench_here("new", "objective", *arguments)
    assert made.returncode == 2 and message in made.stderr and len(made.stderr.strip().splitlines()) == 1


def test_broken_plugin_is_named_in_one_line(tmp_path: Path, lagbench) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(PLUGIN, broken)
    text = (broken / "truncated_is.py").read_text().replace("advantages, mask", "advantage, mask")
    (broken / "truncated_is.py").write_text(text)
    ran = lagbench("list", "objectives", env=install(broken, tmp_path))
    assert ran.returncode == 2
    assert len(ran.stderr.strip().splitlines()) == 1
    for part in ("'truncated-is'", "did you mean 'advantages'", "pip uninstall truncated-is"):
        assert part in ran.stderr


# What a plug-in can get wrong, each told in one line that names its distribution.


def wrong_shape(logprobs):
    return Loss(logprobs.sum(1))


def no_loss(logprobs):
    return logprobs


def no_gradient(logprobs, advantages):
    return Loss(advantages[:, None] * logprobs.detach())


def raises(logprobs):
    raise RuntimeError("boom\nand more")


def keeps_a_number(logprobs, mask):
    return Loss(logprobs * 1, kept=mask.double())


def returns_a_list(logprobs):
    return Loss([logprobs])


def measures_a_vector(logprobs, advantages):
    return Loss(-advantages[:, None] * logprobs, {"ratio": logprobs.exp()})


def measures_nan(logprobs, advantages):
    return Loss(-advantages[:, None] * logprobs, {"ratio": float("nan")})


def steps_back(logprobs, advantages):
    return Loss(-advantages[:, None] * logprobs, step_scale=-1.0)


def changes_its_input(logprobs, advantages):
    advantages.mul_(2)
    return Loss(-advantages[:, None] * logprobs)


def is_always_double(logprobs, advantages):
    return Loss(-advantages[:, None] * logprobs.double())


def divides_by_the_advantage(logprobs, advantages):
    return Loss(logprobs / advantages[:, None])


def gradient_without_advantage(logprobs, advantages):
    return Loss(-logprobs * (1 + advantages[:, None]))


def multiplies_by_the_mask(logprobs, behavior_logprobs, advantages, mask):
    return Loss(
        -(logprobs - behavior_logprobs).clamp(max=1) * mask * advantages[:, None] * (mask.sum() + logprobs.sum() * 0)
    )


def depends_on_the_order(logprobs, advantages):
    weight = torch.arange(len(advantages), dtype=logprobs.dtype)[:, None]
    return Loss(-weight * advantages[:, None] * logprobs)


def overflows(logprobs, behavior_logprobs, advantages, mask):
    ratio = (logprobs - behavior_logprobs).masked_fill(~mask, 0).exp()
    return Loss(-ratio * advantages[:, None])


def interpolates(logprobs, behavior_logprobs, advantages, mask):
    anchor = behavior_logprobs + 0.5 * (logprobs.detach() - behavior_logprobs)
    ratio = (logprobs - anchor).masked_fill(~mask, 0).clamp(-20, 20).exp()
    return Loss(-ratio * advantages[:, None])


def weighs_twice(logprobs, advantages):
    return Loss(-2 * advantages[:, None] * logprobs)


def gradient_of_another_value(logprobs, advantages):
    tokens = -advantages[:, None] * logprobs
    tokens.register_hook(lambda gradient: 2 * gradient)
    return Loss(tokens)


@pytest.mark.parametrize(
    ("function", "check", "message"),
    [
        (
            wrong_shape,
            "zero_advantage",
            r"returned tokens of shape \(12,\), expected \[B, T\] = \(12, 5\); return one loss",
        ),
        (no_loss, "zero_advantage", "returned Tensor, expected lagbench.Loss"),
        (no_gradient, "zero_advantage", "returned tokens without a gradient: they must depend on logprobs"),
        (raises, "zero_advantage", "raised RuntimeError: boom; `lagbench check raises` tries it on small batches$"),
        (keeps_a_number, "zero_advantage", r"returned kept of torch.float64, expected torch.bool"),
        (returns_a_list, "zero_advantage", r"returned tokens of type list, expected a tensor \[B, T\] = \(12, 5\)"),
        (measures_a_vector, "zero_advantage", "returned ratio of type Tensor, expected one number"),
        (measures_nan, "zero_advantage", "returned ratio=nan, expected a finite number$"),
        (steps_back, "zero_advantage", "returned step_scale=-1.0, expected a finite number from 0 on"),
        (changes_its_input, "repeatable", "another loss at the second call|changes its arguments: advantages"),
        (is_always_double, "repeatable", "tokens of torch.float64 from log-probabilities of torch.float32"),
        (divides_by_the_advantage, "zero_advantage", "a gradient of size (inf|nan) although all advantages are zero"),
        (gradient_without_advantage, "zero_advantage", "although all advantages are zero"),
        (multiplies_by_the_mask, "padding", "token losses with NaN off the mask: nan"),
        (depends_on_the_order, "permutation", "token losses of permuted responses"),
        (overflows, "extremes", r"not finite at log-ratios of \+-700|a loss of .* at log-ratios of \+-700"),
        (interpolates, "impossible_tokens", "a loss of nan where behavior_logprobs are -inf in torch.float64; clamp"),
        (weighs_twice, "on_policy_weight", "the on-policy gradient; state its weight with @objective"),
        (gradient_of_another_value, "gradient", "the gradient against finite differences"),
    ],
)
def test_what_is_wrong_is_told(function, check: str, message: str) -> None:
    registry = Registry("objective", "lagbench.nothing", BATCH_FIELDS)
    registry.register(function)
    entry = dataclasses.replace(registry.get(function.__name__), distribution="their-package")
    found = dict(check_objective(entry))[check]
    assert found is not None and len(found.splitlines()) == 1
    assert f"{function.__name__} (their-package)" in found
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found)


def test_conventions_that_do_not_exist_are_told() -> None:
    registry = Registry("objective", "lagbench.nothing", BATCH_FIELDS)
    registry.register(overflows, Conventions(advantage="group_men"))
    found = dict(check_objective(registry.get("overflows")))["zero_advantage"]
    assert found is not None and "overflows (this process): advantage='group_men' is unknown (did you mean" in found
    with pytest.raises(InputError, match="denominator='sum' is unknown; expected all or kept"):
        Conventions(denominator="sum")


def test_undeclared_tensors_that_leak_in_are_noticed() -> None:
    """A plug-in may go around its arguments; here through what it remembers from call to call."""
    seen: list[torch.Tensor] = []

    def remembers(logprobs, advantages):
        seen.append(logprobs)
        return Loss(-advantages[:, None] * logprobs * len(seen))

    registry = Registry("objective", "lagbench.nothing", BATCH_FIELDS)
    registry.register(remembers)
    found = dict(check_objective(registry.get("remembers")))["undeclared"]
    assert found is not None and "losses changed with undeclared tensors" in found
