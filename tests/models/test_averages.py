"""Averages of weights, and what is judged: by them, and after a step without noise."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from models.measures.evaluation import Evaluator
from models.measures.naming import raw_name
from models.networks.mlp import MLPScore
from models.noise import generators_for
from models.testing import tiny
from models.training.averages import average, follow
from models.training.fit import sample
from models.training.kept import keep, load
from models.training.step import init_state, train_step

F64 = torch.float64


def network(seeds: tuple[int, ...] = (0, 1)) -> MLPScore:
    return MLPScore([2, 4, 1], generators_for(seeds, "weights"), F64)


@pytest.mark.parametrize("half_life", [0.5, 3.0, 1e9])
def test_an_average_is_the_plain_mean_at_first_and_then_halves_what_is_old(half_life: float) -> None:
    net = network()
    mean, alive = average(net), torch.ones(2, dtype=torch.bool)
    values = torch.randn(12, generator=torch.Generator().manual_seed(0), dtype=F64)
    expected = 0.0
    for update, value in enumerate(values.tolist(), 1):
        with torch.no_grad():
            net.layers[0].weight.fill_(value)
        follow(mean, net, half_life, update, alive)
        keep_old = min(0.5 ** (1 / half_life), 1 - 1 / update)
        expected = keep_old * expected + (1 - keep_old) * value
    assert float(mean.layers[0].weight[0, 0, 0]) == pytest.approx(expected)
    if half_life == 1e9:
        assert expected == pytest.approx(float(values.mean()))


def test_a_replicate_that_ended_keeps_its_average() -> None:
    net = network()
    mean = average(net)
    with torch.no_grad():
        net.layers[0].bias += 1
        net.layers[0].bias[0] = torch.nan
    before = mean.layers[0].bias.clone()
    follow(mean, net, 1.0, 5, torch.tensor([False, True]))
    assert torch.equal(mean.layers[0].bias[0], before[0]) and not torch.equal(mean.layers[0].bias[1], before[1])


@pytest.mark.parametrize("name", tiny.ALL)
@pytest.mark.parametrize("shape", tiny.SHAPES)
def test_they_cost_training_nothing_and_are_what_is_sampled(name: str, shape: tuple[int, ...]) -> None:
    on = tiny.data(shape)
    plain, averaged = (tiny.method(name, on, ema=ema) for ema in (None, 2.0))
    one, other = tiny.train(plain, on, [0, 1], 4), tiny.train(averaged, on, [0, 1], 4)
    assert torch.equal(tiny.weights(one, 1), tiny.weights(other, 1))
    assert one.judged is one.nets and other.judged is other.averages
    by_weights, by_means = sample(plain, one, 6), sample(averaged, other, 6)
    assert not np.allclose(by_weights, by_means)
    for mean, net in zip(other.averages or (), other.nets, strict=True):  # were they the weights, so were the samples
        if mean is not None and net is not None:
            mean.load_state_dict(net.state_dict())
    if other.pool is None:
        assert np.array_equal(sample(averaged, other, 6), by_weights)


def test_that_of_f_begins_when_f_does() -> None:
    """After its first update it is f's weights then: those that waited have no part in it."""
    on = tiny.data(tiny.IMAGES)
    method = tiny.method("ggcn", on, ema=100.0, anchor=1.0, posterior_steps=2, pretrain=3, updates=200)
    state = tiny.train(method, on, [0, 1], 4)
    means, nets = state.averages, state.nets
    assert means is not None and means.g is not None
    for mean, now in zip(means.f.parameters(), nets.f.parameters(), strict=True):
        torch.testing.assert_close(mean, now.detach())
    assert not torch.equal(means.upsampler.layers[0].weight, nets.upsampler.layers[0].weight)  # a mean of four


@pytest.mark.parametrize("name", tiny.ALL)
def test_they_are_kept_and_go_on_bit_for_bit(name: str) -> None:
    on = tiny.data(tiny.IMAGES)
    method = tiny.method(name, on, ema=3.0, spectral_norm=True)
    half = tiny.train(method, on, [0, 1], 2)
    back = load(keep(half, method, on))
    weights = tiny.method(name, on, spectral_norm=True)
    of_weights = load(keep(tiny.train(weights, on, [0, 1], 2), weights, on))
    assert not np.allclose(back.sample(5), of_weights.sample(5))
    assert not np.allclose(back.sample(5, steps=2), of_weights.sample(5, steps=2))
    straight = keep(tiny.train(method, on, [0, 1], 2, copy.deepcopy(half)), method, on)
    assert keep(tiny.train(method, on, [0, 1], 2, back.state), method, on) == straight


@pytest.mark.parametrize("name", tiny.ALL)
@pytest.mark.parametrize("shape", tiny.SHAPES)
def test_a_step_without_noise_is_one_of_descent_on_the_potential(name: str, shape: tuple[int, ...]) -> None:
    on = tiny.data(shape)
    method = tiny.method(name, on, last_step="noise-free")
    state = tiny.train(method, on, [0], 2)
    draw = method.draw(state.nets, state.pool, state.noise, 6)
    point = draw.point.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(method.potential(state.nets, point).sum(), point)
    expected = method.image(state.nets, draw.point - method.hp.step_size**2 / 2 * gradient).detach()
    torch.testing.assert_close(method.scored(state.nets, draw), expected)
    assert torch.equal(tiny.method(name, on).scored(state.nets, draw), draw.x)


def test_both_are_recorded_by_name() -> None:
    on = tiny.data(tiny.PLANE)
    found = {}
    for ema, last in ((None, "noisy"), (2.0, "noisy"), (None, "noise-free"), (2.0, "noise-free")):
        method = tiny.method("kl", on, ema=ema, last_step=last)
        state, evaluator = init_state(method, on, [0]), Evaluator(method, on, samples=12, long_run=0)
        infos = []
        for _ in range(4):
            state, info = train_step(method, on, state)
            infos.append(info)
        (point,), (final,) = evaluator.point(state, infos), evaluator.final(state)[0]
        assert final[evaluator.primary] != final.get(raw_name(evaluator.primary))
        found[ema, last] = point[evaluator.primary], point.get(raw_name(evaluator.primary)), point["kappa"]
    plain, _, kappa = found[None, "noisy"]
    assert found[None, "noisy"][1] is None
    for other in list(found)[1:]:
        judged, raw, gauge = found[other]
        assert judged != plain and raw == plain and gauge == kappa
