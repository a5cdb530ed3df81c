"""Learning rates over a training: the closed forms, and what a step makes of them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

import models.methods.method
from models.methods.schedules import rate
from models.testing import tiny
from models.training.adam import Adam
from models.training.step import init_state


def rates(updates: int = 8, warmup: int = 0, decay: str = "none") -> list[float]:
    return [rate(SimpleNamespace(updates=updates, warmup=warmup, decay=decay), k) for k in range(1, updates + 1)]


def test_the_closed_forms() -> None:
    assert rates() == [1.0] * 8
    assert rates(warmup=4) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert rates(decay="step") == [1.0] * 4 + [0.1] * 2 + [0.01] * 2
    assert rates(decay="cosine") == pytest.approx([math.cos(math.pi * k / 16) ** 2 for k in range(8)])
    assert rates(warmup=2, decay="cosine") == pytest.approx([0.5 * 1, *rates(decay="cosine")[1:]])


def test_updates_in_which_f_waits_do_not_count() -> None:
    waited = [rate(SimpleNamespace(updates=11, warmup=2, decay="cosine", pretrain=3), k) for k in range(1, 12)]
    assert waited == [1.0] * 3 + rates(warmup=2, decay="cosine")


def test_a_cosine_is_torchs() -> None:
    optimiser = torch.optim.Adam([torch.zeros(1)], lr=0.3)
    scheduler, found = CosineAnnealingLR(optimiser, T_max=8), []
    for _ in range(8):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert [0.3 * one for one in rates(decay="cosine")] == pytest.approx(found)


def test_a_rate_scales_the_step_and_neither_moment() -> None:
    gradients = [torch.randn(3, 2, generator=torch.Generator().manual_seed(0))]
    whole, half = (Adam([torch.zeros(3, 2)], 0.1, (0.5, 0.9)) for _ in range(2))
    for update in (1, 2):
        whole.step(gradients, update, torch.ones(3, dtype=torch.bool))
        half.step(gradients, update, torch.ones(3, dtype=torch.bool), 0.5)
    torch.testing.assert_close(half.parameters[0], whole.parameters[0] / 2)
    assert torch.equal(half.first[0], whole.first[0]) and torch.equal(half.second[0], whole.second[0])


@pytest.mark.parametrize("name", tiny.ALL)
def test_both_networks_follow(name: str) -> None:
    """At a rate of almost 0, the last of a cosine over many updates, neither moves."""
    on = tiny.data(tiny.IMAGES)
    method = tiny.method(name, on, warmup=10**9)
    before = tiny.weights(init_state(method, on, [0]), 0)
    after = tiny.weights(tiny.train(method, on, [0], 2), 0)
    assert (after - before).abs().max() < 1e-10


@pytest.mark.parametrize("name", tiny.ALL)
def test_step_size_and_temperature_go_by_equal_factors(name: str) -> None:
    on = tiny.data(tiny.PLANE)
    method = tiny.method(name, on, updates=5, step_size=0.2, step_size_end=0.0125, temperature_end=0.01)
    sizes, heats = zip(*((now.hp.step_size, now.hp.temperature) for now in map(method.at, range(1, 6))), strict=True)
    assert sizes == pytest.approx([0.2, 0.1, 0.05, 0.025, 0.0125])
    assert heats[0] == 1 and heats[-1] == pytest.approx(0.01)
    assert method.at(3).at(4).hp.step_size == pytest.approx(0.025)  # of the knobs that were given, not of the third
    assert tiny.method(name, on).at(3).hp.step_size == tiny.method(name, on).hp.step_size
    assert method.hp.balance() is None  # the law knows one step size and one temperature


def test_training_takes_the_step_of_its_update(monkeypatch: pytest.MonkeyPatch) -> None:
    on, seen = tiny.data(tiny.PLANE), []
    method = tiny.method("kl", on, updates=3, step_size=0.4, step_size_end=0.1, temperature_end=0.25)
    real = models.methods.method.Method.chain

    def watched(self: Any, *args: Any) -> Any:
        seen.append((args[4], self.hp.temperature))
        return real(self, *args)

    monkeypatch.setattr(models.methods.method.Method, "chain", watched)
    tiny.train(method, on, [0], 3)
    assert seen == [pytest.approx(one) for one in ((0.4, 1.0), (0.2, 0.5), (0.1, 0.25))]
