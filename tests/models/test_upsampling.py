"""What g learns from: the posterior of a data point (E14, E15), a bank of past pairs, data alone at first; and its own
width, norm and range."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import digamma
from torch import Tensor

from models.langevin import langevin
from models.methods.method import Draw, Lesson, Networks
from models.methods.upsampling import NEAR, entropy, posterior_potential, posterior_slope, regression_loss
from models.networks.upsampler import ConvUpsampler
from models.noise import Noise, generators_for
from models.registry import METHODS, find
from models.testing import tiny
from models.training.batches import indices
from models.training.checkpoint import load_state, save_state
from models.training.step import TrainState, init_state, train_step
from tests.models.test_affine_generator import Affine, B, W

F64 = torch.float64
WITH_G = [name for name in METHODS if find("method", name).Knobs.uses_generator]
ANCHORED: dict[str, Any] = {"anchor": 1.0, "posterior_steps": 2}


def started(name: str, shape: tuple[int, ...] = tiny.PLANE, seeds: tuple[int, ...] = (0, 1), **knobs: Any) -> Any:
    on = tiny.data(shape)
    method = tiny.method(name, on, **knobs)
    return method, on, init_state(method, on, seeds)


def noise(seed: int, *more: int) -> Noise:
    return Noise(generators_for([seed, *more], "chain"), F64)


def weights(network: Any) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def same(network: Any, before: list[Tensor]) -> bool:
    return all(torch.equal(p, old) for p, old in zip(network.parameters(), before, strict=True))


@pytest.mark.parametrize("fast", [False, True])
def test_the_posterior_of_a_linear_g_is_the_gaussian_in_closed_form(fast: bool) -> None:
    """E14: N(P^-1 W'(x - b) / sd^2, P^-1), P = I + W'W / sd^2; E3 widens each direction by 1 / (1 - eta p / 2)."""
    sd, delta, n = 0.5, 0.2, 40_000
    x = torch.tensor([0.7, -0.4], dtype=F64)
    chance = Noise(generators_for([0], "chain"), F64)
    nets, data = Networks(Affine(W, B), Affine(W, B)), x.expand(1, n, 2)
    z, _ = langevin(posterior_potential(nets, data, sd), chance.normal(n, 2), steps=400, step_size=delta, noise=chance,
                    slope=posterior_slope(nets, data, sd) if fast else None)
    precision = np.eye(2) + W.T @ W / sd**2
    values, vectors = np.linalg.eigh(precision)
    mean = np.linalg.solve(precision, W.T @ (x.numpy() - B)) / sd**2
    covariance = vectors @ np.diag(1 / (values * (1 - delta**2 * values / 4))) @ vectors.T
    found = z[0].numpy()
    np.testing.assert_allclose(found.mean(0), mean, atol=5 * np.sqrt(covariance.max() / n))
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=5 * covariance.max() * np.sqrt(2 / n))


@pytest.mark.parametrize("name", WITH_G)
def test_the_anchor_is_the_reconstruction_of_this_updates_data_by_its_own_z(name: str) -> None:
    method, on, state = started(name, anchor=3.0, posterior_steps=2)
    seen = np.stack([indices(seed, 0, method.hp.batch_size, len(on.train)) for seed in state.seeds])
    before = state.memory["posterior"].clone()
    x_data = torch.from_numpy(on.train[seen]).double()
    lesson = Lesson(x_data, torch.from_numpy(seen), state.memory, state.noise, 0)
    alone = method.generator_loss(state.nets, None, lesson)
    moved = (state.memory["posterior"] != before).any(-1)
    for r in range(2):
        assert set(moved[r].nonzero().flatten().tolist()) == set(seen[r].tolist())
        z = state.memory["posterior"][r, seen[r]]
        g = state.nets.upsampler(torch.stack([z, z]))[r]
        torch.testing.assert_close(alone[r], 3 * (x_data[r] - g).square().sum(-1).mean())
    draw, _ = method.run(state.nets, method.reference(state.noise, 8), state.noise, 3)
    still = Noise(generators_for(state.seeds, "chain", index=9), F64), Noise(
        generators_for(state.seeds, "chain", index=9), F64)
    copies = [{k: v.clone() for k, v in state.memory.items()} for _ in still]
    both, data = (method.generator_loss(state.nets, of, lesson._replace(noise=chance, memory=memory))
                  for of, chance, memory in zip((draw, None), still, copies, strict=True))
    torch.testing.assert_close(both, method.generator_loss(state.nets, draw) + data)


def test_a_bank_holds_the_last_pairs_and_is_what_g_regresses_on() -> None:
    method, _, state = started("amortized", bank=20, seeds=(0,))
    z, x = torch.arange(8.0, dtype=F64).reshape(1, 8, 1).expand(1, 8, 3), torch.ones(1, 8, 2, dtype=F64)

    def draw_of(update: int) -> Draw:
        return Draw(x * update, x, x, z + 8 * update, z + 8 * update, None)  # type: ignore[arg-type]

    method.generator_loss(state.nets, draw_of(0), Lesson(x, torch.zeros(1, 0), state.memory, state.noise, 0))
    assert sorted(state.memory["bank_z"][0, :, 0].tolist()) == sorted([*range(8), *[0] * 12])
    for update in (1, 2, 3):
        lesson = Lesson(x, torch.zeros(1, 0), state.memory, state.noise, update)
        method.generator_loss(state.nets, draw_of(update), lesson)
    held = state.memory["bank_z"][0, :, 0]
    assert sorted(held.tolist()) == list(range(12, 32))  # 20 of 32: the oldest went
    assert torch.equal(state.memory["bank_x"][0, :, 0], (held / 8).floor())  # pairs stay pairs
    every = regression_loss(state.nets, state.memory["bank_z"], state.memory["bank_x"]).detach()
    lesson = Lesson(x, torch.zeros(1, 0), state.memory, state.noise, 3)
    mean = torch.stack([method.generator_loss(state.nets, draw_of(3), lesson) for _ in range(600)]).mean().detach()
    assert float(mean) == pytest.approx(float(every), rel=0.1)


@pytest.mark.parametrize("name", WITH_G)
@pytest.mark.parametrize("shape", tiny.SHAPES)
def test_f_waits_while_g_learns_from_data_alone(name: str, shape: tuple[int, ...]) -> None:
    method, on, state = started(name, shape, pretrain=2, slow_g=0.0, updates=6, **ANCHORED)
    f, g = weights(state.nets.f), weights(state.nets.g)
    for _ in range(2):
        state, info = train_step(method, on, state)
        assert info.loss.isnan().all() and info.loss_g.isfinite().all() and (info.sd_ratio_g > 0).all()
    assert same(state.nets.f, f) and not same(state.nets.g, g)
    g = weights(state.nets.g)
    state, info = train_step(method, on, state)
    assert not same(state.nets.f, f) and same(state.nets.g, g)  # frozen
    assert (state.gaps[:, :2] == 0).all() and (state.gaps[:, 2] != 0).all()
    step = max(float((p.detach() - old).abs().max()) for p, old in zip(state.nets.f.parameters(), f, strict=True))
    assert step == pytest.approx(method.hp.lr_f, rel=1e-3)  # Adam's first step, though it is the third update


@pytest.mark.parametrize("name", WITH_G)
def test_g_takes_its_steps_at_its_own_rate_and_decay(name: str) -> None:
    def moved(**knobs: Any) -> float:
        method, on, state = started(name, pretrain=1, seeds=(0,), **ANCHORED, **knobs)
        state, _ = train_step(method, on, state)
        before = weights(state.nets.g)
        state, _ = train_step(method, on, state)
        return sum(float((p.detach() - old).abs().sum()) for p, old in zip(state.nets.upsampler.parameters(), before,
                                                                  strict=True))

    assert moved(slow_g=0.5) == pytest.approx(moved() / 2)
    assert moved(steps_g=3) > 1.5 * moved()
    assert moved(adam_beta1_g=0.0) != pytest.approx(moved(), rel=1e-3)
    assert moved(adam_beta1_g=0.5) == moved()


@pytest.mark.parametrize("redraw", [False, True])
@pytest.mark.parametrize("name", WITH_G)
def test_redrawn_negatives_begin_at_the_g_of_now(name: str, redraw: bool) -> None:
    """Where chains do not move, f learns from g(z) itself: of g as it was when the update began, or as it is then."""
    class Seen(find("method", name)):  # type: ignore[misc]
        def energy_loss(self, nets: Networks, draw: Draw, x_data: Tensor, noise: Noise) -> Any:
            drawn.append(draw)
            return super().energy_loss(nets, draw, x_data, noise)

    drawn: list[Draw] = []
    on = tiny.data(tiny.PLANE)
    still = {"temperature": 0.0, "step_size": 1e-9} | ({"latent_step_size": 1e-9} if name == "ggcn" else {})
    method = Seen(tiny.knobs(name, lr_g=0.1, redraw=redraw, upsampler_loss="potential", **still), on.shape)
    state = init_state(method, on, [0, 1])
    before = copy.deepcopy(state.nets.upsampler)
    train_step(method, on, state)
    [draw] = drawn
    far = [float((draw.x - g(draw.z)).detach().abs().max()) for g in (before, state.nets.upsampler)]
    assert far[redraw] < 1e-8 and far[not redraw] > 1e-3


def test_costs_are_those_of_each_stage() -> None:
    plain, base = tiny.knobs("amortized", updates=10), tiny.knobs("kl", updates=10)
    assert plain.gradients_until(10) == (base.per_particle() + 1 + 3) * 80  # JKO's penalty counts 3
    anchored = dataclasses.replace(plain, anchor=1.0, posterior_steps=5)
    assert anchored.per_particle() == plain.per_particle() + 6
    first = dataclasses.replace(anchored, pretrain=4, steps_g=2)
    assert [first.gradients_until(k) for k in (0, 3, 4)] == [0, 3 * 8 * 12, 4 * 8 * 12]
    assert first.gradients_until(10) == 4 * 8 * 12 + 6 * 8 * first.per_particle()
    again = dataclasses.replace(tiny.knobs("ggcn", negatives_drift=1), redraw=True)
    assert again.per_particle() - dataclasses.replace(again, redraw=False).per_particle() == 3 + 2 + 1
    assert dataclasses.replace(first, slow_g=0.0).per_particle() == plain.per_particle() - 1


@pytest.mark.parametrize("name", WITH_G)
@pytest.mark.parametrize("shape", tiny.SHAPES)
def test_through_a_checkpoint_nothing_changes_and_replicates_never_meet(name: str, shape: tuple[int, ...]) -> None:
    knobs: dict[str, Any] = {"pretrain": 1, "steps_g": 2, "norm_g": "group", "width_g": 3, **ANCHORED}
    knobs |= {"redraw": True} if name == "hidden" else {"bank": 12, "redraw": shape == tiny.PLANE}
    method, on, half = started(name, shape, (0, 1), **knobs)
    half = tiny.train(method, on, [0, 1], 2, half)
    payload = save_state(half)
    straight = save_state(tiny.train(method, on, [0, 1], 2, half))
    resumed: TrainState = load_state(payload, method, on, [0, 1])
    assert save_state(tiny.train(method, on, [0, 1], 2, resumed)) == straight
    solo = tiny.trained(name, shape, [1], **knobs)
    assert (tiny.weights(solo, 0) - tiny.weights(resumed, 1)).abs().max() < 1e-9


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_entropy_is_that_of_a_gaussian_but_for_its_constants(dim: int) -> None:
    """Kozachenko and Leonenko's have the log of the unit ball's volume and psi(n) - psi(1) beside it."""
    n = 4000
    x = 1e4 * noise(1).normal(n, dim)  # so far apart that the bound is of no account
    rest = dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1) + digamma(n) - digamma(1)
    assert float(entropy(x, dim)) + rest == pytest.approx(
        dim / 2 * math.log(2 * math.pi * math.e * 1e8), abs=0.1)
    assert float(entropy(3 * x, dim) - entropy(x, dim)) == pytest.approx(dim * math.log(3), abs=1e-3)
    plane, _ = torch.linalg.qr(noise(2).normal(64, dim)[0])
    torch.testing.assert_close(entropy(x @ plane.T, dim), entropy(x, dim))  # where they lie does not matter


def test_the_entropy_is_of_each_replicate_and_has_its_slope() -> None:
    x = noise(2, 3).normal(6, *tiny.IMAGES).requires_grad_()
    assert torch.equal(entropy(x, 3)[:1], entropy(x[:1], 3))
    assert torch.autograd.gradcheck(entropy, (x, 3))


def test_narrow_samples_have_their_own_neighbours_and_bounded_slopes() -> None:
    x = 0.5 + 1e-4 * noise(2).normal(64, 64)
    single = x.float().requires_grad_()
    torch.testing.assert_close(entropy(single, 16).double(), entropy(single.double(), 16), rtol=1e-4, atol=1e-4)
    (slope,) = torch.autograd.grad(entropy(single, 16).sum(), single)
    assert slope.norm(dim=-1).max() < 16 / NEAR
    (slope,) = torch.autograd.grad(entropy(same := torch.zeros(1, 3, 2, requires_grad=True), 2).sum(), same)
    assert (slope == 0).all(), "points that lie on each other have no direction"


@pytest.mark.parametrize("loss", ["regression", "potential"])
@pytest.mark.parametrize("name", WITH_G)
def test_the_entropy_enters_the_loss_of_g_where_its_chains_are(name: str, loss: str) -> None:
    method, _, state = started(name, upsampler_loss=loss, entropy=0.3)
    plain = type(method)(dataclasses.replace(method.hp, entropy=0.0), method.shape)
    assert method.hp.per_particle() == plain.hp.per_particle() + 1
    start = method.start(state.pool, None if state.pool is None else torch.arange(8), torch.zeros(2, 8, 2, dtype=F64),
                         state.noise)
    draw, _ = method.run(state.nets, start, state.noise, 2)
    z = draw.z if loss == "potential" else method.pair(draw)[0]
    torch.testing.assert_close(method.generator_loss(state.nets, draw),
                               plain.generator_loss(state.nets, draw) - 0.3 * entropy(state.nets.upsampler(z), 2))


def test_a_group_is_normalised_by_itself() -> None:
    g = ConvUpsampler(3, (1, 8, 8), [16, 16, 8], generators_for([0, 1], "weights"), F64, "grouped", norm=True)
    h = torch.randn(5, 2 * 16, 4, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    groups = g._normalised(h, 2).reshape(5, 2 * 4, 4 * 16)  # 16 channels: four groups of four
    torch.testing.assert_close(groups.mean(-1), torch.zeros(5, 8, dtype=F64), atol=1e-9, rtol=0)
    torch.testing.assert_close(groups.var(-1, unbiased=False), torch.ones(5, 8, dtype=F64), atol=1e-4, rtol=0)


def test_gain_lets_g_reach_black_and_white() -> None:
    made = []
    for gain in (1.0, 2.0):
        g = ConvUpsampler(3, (1, 8, 8), [4, 4, 2], generators_for([0], "weights"), F64, "grouped", (0.0, 1.0),
                          gain=gain)
        with torch.no_grad():
            g.layers[-1].bias += 100.0
            made.append(float(g(torch.zeros(1, 1, 3, dtype=F64)).detach().max()))
    assert made == [1.0, 1.5]  # of [0, 1]: twice as far from 1/2


def test_widths_of_f_and_g_are_apart() -> None:
    _, _, state = started("ggcn", tiny.IMAGES, width=2, width_g=5)
    assert state.nets.f.layers[0].weight.shape[1] == 2 and state.nets.upsampler.layers[-1].weight.shape[2] == 5


@pytest.mark.parametrize(("given", "knob", "said"), [
    ({"pretrain": 5}, "pretrain", "has no effect without anchor"),
    ({"posterior_steps": 5}, "posterior_steps", "has no effect without anchor"),
    ({"anchor": 1.0, "pretrain": 600}, "pretrain", "found 600, expected less than updates = 600"),
    ({"slow_g": 0.0}, "slow_g", "has no effect without pretrain"),
    ({"anchor": 1.0, "pretrain": 100, "slow_g": 0.0, "redraw": True}, "redraw", "has no effect with slow_g: 0"),
    ({"anchor": 1.0, "pretrain": 100, "slow_g": 0.0, "entropy": 0.1}, "entropy", "has no effect with slow_g: 0"),
    ({"micro_batch": 64}, "micro_batch", "expected less than batch_size = 64"),
    ({"bank": 10}, "bank", "found 10, expected 0 or at least batch_size = 64"),
    ({"bank": 100, "upsampler_loss": "potential"}, "bank", "has no effect with upsampler_loss: potential"),
])
def test_what_goes_together_is_said(given: dict[str, Any], knob: str, said: str) -> None:
    kind = find("method", "amortized").Knobs
    assert [key for key, text in kind.conflicts(given) if said in text] == [knob]
    assert kind.conflicts({"anchor": 1.0, "pretrain": 100, "slow_g": 0.1, "posterior_steps": 5, "bank": 64}) == []
