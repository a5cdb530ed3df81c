"""Every term by its value: what the equations say, written out again, against what the code computes."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.methods.jko import penalty
from models.methods.kl import kl_flow
from models.methods.method import Draw, FlowLoss, Method, Networks
from models.networks.convnet import ConvScore
from models.networks.mlp import MLPScore
from models.noise import Noise, generators_for
from models.stability.divergence import REASONS
from models.testing import tiny
from models.training.batches import batch
from models.training.checkpoint import load_state, save_state
from models.training.step import TrainState, init_state, train_step

F64 = torch.float64


def noise(seeds: tuple[int, ...] = (0,)) -> Noise:
    return Noise(generators_for(seeds, "chain"), F64)


def setup(name: str, shape: tuple[int, ...] = tiny.PLANE, seeds: tuple[int, ...] = (0, 1),
          **knobs: Any) -> tuple[Method, Any, TrainState]:
    on = tiny.data(shape)
    method = tiny.method(name, on, **knobs)
    return method, on, init_state(method, on, seeds)


class Paraboloid(torch.nn.Module):
    """f(x) = -3 ||x||^2 / 2, so that grad U = x / sigma^2 + 3 x."""

    def forward(self, x: Tensor) -> Tensor:
        return -1.5 * x.square().flatten(2).sum(-1)


def spied(monkeypatch: pytest.MonkeyPatch, method: Method) -> list[tuple[Draw, Tensor]]:
    """What the flow is given, update by update."""
    seen: list[tuple[Draw, Tensor]] = []
    flow = method.flow

    def spy(m: Method, nets: Networks, draw: Draw, x_data: Tensor, chance: Noise) -> FlowLoss:
        seen.append((draw, x_data))
        return flow(m, nets, draw, x_data, chance)

    monkeypatch.setattr(method, "flow", spy)
    return seen


# E1, E2

@pytest.mark.parametrize("sigma", [0.7, 2.0])
def test_the_reference_has_its_width_in_the_potential_and_where_chains_start(sigma: float) -> None:
    method, _, _ = setup("kl", sigma=sigma)
    points = noise().normal(50_000, 2)
    nets = Networks(Paraboloid(), None)  # type: ignore[arg-type]
    expected = (points**2).sum(-1) * (1 / (2 * sigma**2) + 1.5)
    torch.testing.assert_close(method.potential(nets, points), expected)
    assert abs(method.reference(noise(), 50_000).std() / sigma - 1) < 0.02


@pytest.mark.parametrize("shape", [tiny.PLANE, tiny.IMAGES])
def test_a_scaled_score_is_the_step_that_released_codes_write(shape: tuple[int, ...]) -> None:
    """x + a grad f + s eps, with a and s apart, is E3 at step size s and the score 2a/s^2 times as large."""
    a, s = 0.3, 0.02
    method, _, state = setup("kl", shape, step_size=s, score_scale=2 * a / s**2, sigma=1e3, mcmc_steps=1)
    _, _, plain = setup("kl", shape)
    x = noise().normal(5, *shape).expand(2, 5, *shape).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(plain.nets.f(x).sum(), x)
    by_hand = x + a * gradient + s * noise((7, 8)).normal(5, *shape)
    draw, _ = method.run(state.nets, x.detach(), noise((7, 8)), 1)
    torch.testing.assert_close(draw.x, by_hand.detach(), rtol=0, atol=1e-8)


def test_where_chains_start() -> None:
    x_data = noise((7,)).normal(8, 2)
    pool, block = torch.full((1, 12, 2), 5.0, dtype=F64), torch.arange(8)
    for refresh, share in ((0.0, 1.0), (1.0, 0.0)):
        method, _, _ = setup("kl", refresh=refresh)
        start = method.start(pool, block, x_data, noise())
        assert (start == 5).all(-1).double().mean() == share
    assert torch.equal(setup("kl", chain="data")[0].start(None, None, x_data, noise()), x_data)
    assert not torch.equal(setup("kl", chain="noise")[0].start(None, None, x_data, noise()), x_data)


def test_the_pool_keeps_where_chains_ended_not_where_negatives_drifted(monkeypatch: pytest.MonkeyPatch) -> None:
    method, on, state = setup("kl", negatives_drift=2, particles=12)
    seen = spied(monkeypatch, method)
    for _ in range(2):
        train_step(method, on, state)
    (first, _), (second, _) = seen
    assert state.pool is not None and not torch.equal(first.negatives, first.x)
    torch.testing.assert_close(state.pool[:, 4:8], first.x[:, 4:8])  # rows 8 to 11 and 0 to 3 had the second turn
    torch.testing.assert_close(state.pool[:, 8:], second.x[:, :4])
    torch.testing.assert_close(state.pool[:, :4], second.x[:, 4:])


# E4, E6

def test_smoothing_and_the_energy_penalty_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    method, on, state = setup("kl", data_noise=0.3, energy_l2=0.25, batch_size=48, particles=48)
    seen = spied(monkeypatch, method)
    nets = init_state(method, on, (0, 1)).nets
    _, info = train_step(method, on, state)
    draw, x_data = seen[0]
    added = x_data - torch.from_numpy(batch(on.train, (0, 1), 0, 48)).double()
    assert abs(added.std() / 0.3 - 1) < 0.15 and added[0].unique().numel() == 96  # its own for every point
    f_data, f_x = nets.f(x_data), nets.f(draw.x)
    expected = f_x.mean(1) - f_data.mean(1) + 0.25 * ((f_data**2).mean(1) + (f_x**2).mean(1))
    torch.testing.assert_close(info.loss, expected.detach())


def test_the_penalty_is_taken_where_it_says() -> None:
    x, x_data = noise((1,)).normal(8, 2), noise((2,)).normal(8, 2)
    draw = Draw(x, x, x, None, None, None)  # type: ignore[arg-type]
    nets = Networks(Paraboloid(), None)  # type: ignore[arg-type]

    def value(**knobs: Any) -> float:
        return penalty(setup("jko", sigma=0.5, **knobs)[0], nets, draw, x_data, noise((3,))).item()

    def by_hand(points: Tensor, slope: float = 4 + 3) -> float:
        return float(((slope * points) ** 2).sum(-1).mean())

    assert value() == pytest.approx(by_hand(x)) and value(penalty_of="f") == pytest.approx(by_hand(x, 3))
    assert value(penalty_on="data") == pytest.approx(by_hand(x_data))
    assert value(penalty_on="both") == pytest.approx((by_hand(x) + by_hand(x_data)) / 2)
    share = noise((3,)).uniform(8, 1)
    assert share.unique().numel() == 8 and 0 <= share.min() and share.max() < 1
    assert value(penalty_on="interpolates") == pytest.approx(by_hand(share * x_data + (1 - share) * x))


@pytest.mark.parametrize("where", ["synthesis", "data", "both", "interpolates"])
def test_without_weight_jko_is_exactly_kl(where: str) -> None:
    kl, jko = tiny.trained("kl", tiny.PLANE, [0]), tiny.trained("jko", tiny.PLANE, [0], beta=0.0, penalty_on=where)
    assert torch.equal(tiny.weights(kl, 0), tiny.weights(jko, 0))
    hp = tiny.knobs("jko", beta=0.0)
    assert hp.gradients_until(1) == tiny.knobs("kl").gradients_until(1)
    assert type(hp).conflicts({"beta": 0.0, "penalty_on": where}) == [
        ("penalty_on", "has no effect where the penalty's weight is 0")]


# E10 to E12

def test_ggcn_learns_g_on_the_pair_of_both_chains_ends() -> None:
    method, _, state = setup("ggcn")
    draw, kept = method.run(state.nets, method.reference(state.noise, 8), state.noise, 3)
    made = state.nets.upsampler(kept)  # the pool holds z_T
    assert not torch.equal(draw.z_start, kept)  # type: ignore[arg-type]
    expected = ((draw.x - made) ** 2).sum(-1).mean(1)
    torch.testing.assert_close(method.generator_loss(state.nets, draw), expected)


def test_g_steps_on_the_f_that_has_just_stepped() -> None:
    """E12's order: sample, f, g. Adam's first step has the size of the learning rate, whatever the gradient."""
    method, on, state = setup("hidden", lr_f=0.5, lr_g=1e-3)
    nets, chance = init_state(method, on, (0, 1)).nets, init_state(method, on, (0, 1))
    assert chance.pool is not None
    x_data = torch.from_numpy(batch(on.train, (0, 1), 0, 8)).double()
    start = method.start(chance.pool, torch.arange(8), x_data, chance.noise)
    draw, _ = method.run(nets, start, chance.noise, 3)
    train_step(method, on, state)
    loss = -state.nets.f(nets.upsampler(draw.z)).mean(1)  # the new f, the old g
    for p, old, gradient in zip(state.nets.upsampler.parameters(), nets.upsampler.parameters(),
                                torch.autograd.grad(loss.sum(), list(nets.upsampler.parameters())), strict=True):
        big = gradient.abs() > 1e-4
        torch.testing.assert_close((p - old)[big], -1e-3 * gradient.sign()[big], rtol=1e-3, atol=0)


# freezing

def test_a_frozen_replicate_is_held_whole() -> None:
    method, on, state = setup("hidden", tiny.IMAGES, spectral_norm=True)
    train_step(method, on, state)
    assert state.pool is not None
    state.nets.f.layers[0].weight.data[0] = math.nan
    pool = state.pool.clone()
    moments = [t[0].clone() for t in (*state.adam_f.first, *state.adam_f.second)]
    vectors = [layer.left[0].clone() for layer in state.nets.f.layers if layer.left is not None]
    train_step(method, on, state)
    assert state.alive.tolist() == [False, True]
    assert torch.equal(state.pool[0], pool[0]) and not torch.equal(state.pool[1], pool[1])
    assert all(torch.equal(t[0], old) for t, old in zip(
        (*state.adam_f.first, *state.adam_f.second), moments, strict=True))
    assert len(vectors) == 4 and all(torch.equal(layer.left[0], old) for layer, old in zip(  # type: ignore[index]
        state.nets.f.layers[1:], vectors[1:], strict=True))


def test_a_broken_loss_of_g_alone_freezes(monkeypatch: pytest.MonkeyPatch) -> None:
    method, on, state = setup("amortized")
    good = method.generator_loss
    monkeypatch.setattr(method, "generator_loss",
                        lambda nets, draw, lesson: good(nets, draw, lesson) * torch.tensor([math.nan, 1.0], dtype=F64))
    before = [p.clone() for p in state.nets.upsampler.parameters()]
    train_step(method, on, state)
    assert state.diverged_at.tolist() == [1, -1] and REASONS[int(state.reason[0])] == "non-finite"
    for p, old in zip(state.nets.upsampler.parameters(), before, strict=True):
        assert torch.equal(p[0], old[0]) and not torch.equal(p[1], old[1])


@pytest.mark.parametrize("name", ["kl", "hidden"])
def test_chains_that_run_away_diverge_after_three_updates_by_name(name: str) -> None:
    """For `hidden` it is z that runs away: g's tanh bounds x."""
    method, on, state = setup(name, tiny.IMAGES, refresh=0.0, lr_f=1e-6)
    assert state.pool is not None
    state.pool[0] *= 1e3
    for _ in range(3):
        assert state.alive.all()
        train_step(method, on, state)
    assert state.diverged_at.tolist() == [3, -1] and REASONS[int(state.reason[0])] == "runaway particles"


# the rest of the state, and what is shown

def test_gradient_clipping_is_each_replicates_own() -> None:
    knobs = {"grad_clip": 0.05, "spectral_norm": True, "data_noise": 0.1, "negatives_drift": 1, "drift_clip": 0.01}
    fused = tiny.trained("ggcn", tiny.PLANE, [3, 1, 2], **knobs)
    for r, seed in enumerate([3, 1, 2]):
        solo = tiny.trained("ggcn", tiny.PLANE, [seed], **knobs)
        assert (tiny.weights(fused, r) - tiny.weights(solo, 0)).abs().max() < 1e-9


def test_spectral_norm_follows_and_differentiates_the_largest_singular_value() -> None:
    state = tiny.trained("kl", tiny.IMAGES, [0, 1], updates=30, spectral_norm=True)
    for layer in state.nets.f.layers:
        for _ in range(200):
            layer.follow_spectrum()
        top = torch.linalg.matrix_norm(layer.effective().flatten(2), 2)
        torch.testing.assert_close(top, torch.ones_like(top), rtol=1e-4, atol=0)
    f = MLPScore([2, 4, 1], generators_for([0], "weights"), F64, spectral=True)
    x = noise().normal(3, 2)
    weight = f.layers[0].weight
    (gradient,) = torch.autograd.grad(f(x).sum(), weight)
    with torch.no_grad():
        for i in range(4):
            shifted = []
            for h in (1e-6, -1e-6):
                weight[0, i, 0] += h
                shifted.append(f(x).sum())
                weight[0, i, 0] -= h
            assert gradient[0, i, 0].item() == pytest.approx(((shifted[0] - shifted[1]) / 2e-6).item(), rel=1e-3)


def test_a_checkpoint_holds_the_monitor_and_the_optimisers() -> None:
    method, on, state = setup("ggcn")
    for _ in range(2):
        train_step(method, on, state)
    state.monitor.far[0] = 2
    again = load_state(save_state(state), method, on, (0, 1))
    for one, other in zip(state.monitor, again.monitor, strict=True):
        assert torch.equal(one, other)
    assert again.adam_g is not None and state.adam_g is not None
    for mine, theirs in zip((*state.adam_g.first, *state.adam_g.second), (*again.adam_g.first, *again.adam_g.second),
                            strict=True):
        assert bool(mine.any()) and torch.equal(mine, theirs)


@pytest.mark.parametrize("drift", [0, 2])
def test_the_gap_is_that_of_the_particles(monkeypatch: pytest.MonkeyPatch, drift: int) -> None:
    """... under the network that both sides came from, before its step, which shifts f's level."""
    method, on, state = setup("kl", negatives_drift=drift, sigma=0.6, lr_f=0.1)
    seen, before = spied(monkeypatch, method), copy.deepcopy(state.nets)
    _, info = train_step(method, on, state)
    draw, x_data = seen[0]
    data, particles = (-method.potential(before, points).detach().numpy() for points in (x_data, draw.x))
    pooled = np.sqrt((data.var(1, ddof=1) + particles.var(1, ddof=1)) / 2)
    np.testing.assert_allclose(info.gap, (data.mean(1) - particles.mean(1)) / pooled, rtol=1e-6)
    np.testing.assert_allclose(info.sd_f, data.std(1, ddof=1), rtol=1e-6)
    variance = draw.x.numpy().var(1, ddof=1).mean(1) / x_data.numpy().var(1, ddof=1).mean(1)
    np.testing.assert_allclose(info.variance_ratio, variance, rtol=1e-6)


def test_kl_loss_has_its_sign() -> None:
    """E4 falls where f rises on data: descending it raises f(data) - f(particles)."""
    method, _, state = setup("kl")
    x, x_data = noise((1,)).normal(8, 2).expand(2, -1, -1), noise((2,)).normal(8, 2).expand(2, -1, -1)
    flow = kl_flow(method, state.nets, Draw(x, x, x, None, None, None), x_data, noise())  # type: ignore[arg-type]
    torch.testing.assert_close(flow.loss.detach(), flow.f_negatives.mean(1) - flow.f_data.mean(1))


def test_convnets_of_every_size() -> None:
    for side in (8, 16, 25, 32, 64):
        for channels in (1, 3):
            on = dataclasses.replace(tiny.data((channels, 8, 8), 4), shape=(channels, side, side))
            method = tiny.method("amortized", on, width=1)
            state = init_state(method, on, [0])
            z = method.reference(state.noise, 2)
            x = state.nets.upsampler(z)
            assert x.shape == (1, 2, channels, side, side) and state.nets.f(x).shape == (1, 2)
    f = ConvScore((1, 8, 8), [16, 32, 32], generators_for([0], "weights"), F64, "grouped")
    assert [tuple(layer.weight.shape[1:]) for layer in f.layers] == [
        (16, 1, 3, 3), (32, 16, 4, 4), (32, 32, 4, 4), (1, 128)]
