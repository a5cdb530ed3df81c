"""What every method must satisfy. A new method inherits these by its line in METHODS."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import numpy as np
import pytest
import torch

from models.methods.hparams import HParams, combination_problems, expected, knob_problem
from models.methods.kl import kl_flow
from models.methods.method import Networks, build
from models.noise import Noise, generators_for
from models.stability.divergence import REASONS
from models.training.batches import indices
from models.training.checkpoint import CheckpointError, load_state, save_state
from models.training.step import init_state, train_step
from tests.models import tiny

methods = pytest.mark.parametrize("name", tiny.ALL)
shapes = pytest.mark.parametrize("shape", [tiny.PLANE, tiny.IMAGES], ids=["plane", "images"])


@methods
def test_fused_replicates_of_an_mlp_equal_solo_bit_for_bit(name: str) -> None:
    fused = tiny.trained(name, tiny.PLANE, [3, 1, 2])
    for r, seed in enumerate([3, 1, 2]):
        assert torch.equal(tiny.weights(fused, r), tiny.weights(tiny.trained(name, tiny.PLANE, [seed]), 0))


@methods
def test_fused_replicates_of_a_convnet_equal_solo(name: str) -> None:
    fused = tiny.trained(name, tiny.IMAGES, [3, 1, 2])
    for r, seed in enumerate([3, 1, 2]):
        solo = tiny.weights(tiny.trained(name, tiny.IMAGES, [seed]), 0)
        assert (tiny.weights(fused, r) - solo).abs().max() < 1e-9
        assert (tiny.weights(fused, r) - tiny.weights(fused, (r + 1) % 3)).abs().max() > 1e-3  # and seeds differ


@methods
def test_loop_and_grouped_execution_agree(name: str) -> None:
    on = tiny.data(tiny.IMAGES)
    method = build(tiny.knobs(name), on)
    states = [init_state(method, on, [0, 1]) for _ in range(2)]
    for net in (states[1].nets.f, states[1].nets.g):
        if net is not None:
            assert net.fuse == "grouped"
            net.fuse = "loop"
    grouped, loop = (tiny.train(method, on, [0, 1], 3, state) for state in states)
    assert (tiny.weights(grouped, 1) - tiny.weights(loop, 1)).abs().max() < 1e-9


@methods
@shapes
def test_the_global_generators_do_not_matter(name: str, shape: tuple[int, ...]) -> None:
    first = tiny.trained(name, shape, [0])
    torch.manual_seed(99)
    np.random.seed(99)
    before = torch.get_rng_state()
    second = tiny.trained(name, shape, [0])
    assert torch.equal(tiny.weights(first, 0), tiny.weights(second, 0))
    assert torch.equal(before, torch.get_rng_state())  # nor are they drawn from


def other_values(hp: HParams, knob: str) -> tuple[list[Any], bool]:
    """Values of a knob that a spec may have in the place of hp's, from its declaration alone; and whether each of them
    must change the result (words, truth values), or one of them (numbers: a bound may be too wide to bind)."""
    kind, now = type(hp), getattr(hp, knob)
    declared = next(f for f in dataclasses.fields(hp) if f.name == knob)
    kinds, words, _ = expected(declared, typing.get_type_hints(kind))
    near = [2 * now, now / 2] if now and not isinstance(now, str) else []
    numbers = [n for n in [*near, 1, 2, 3, 4, 0.5, 0.1, 1e-3, 1e-8] if float in kinds or float(n).is_integer()]
    found: list[Any] = [*words] or [True, False] if words or bool in kinds else [
        float(n) if float in kinds else int(n) for n in numbers]
    given = {f.name: getattr(hp, f.name) for f in dataclasses.fields(hp) if getattr(hp, f.name) != f.default}
    allowed = [v for v in found if v != now and not knob_problem(kind, knob, v)]
    assert allowed, f"{knob}: no other value was found"  # below there may be none: `penalty_on` of `hidden`
    return [v for v in allowed if not combination_problems(kind, {**given, knob: v})], bool(words) or bool in kinds


@methods
def test_every_knob_changes_the_result(name: str) -> None:
    base = tiny.knobs(name)

    def result(hp: HParams) -> torch.Tensor:
        on = tiny.data(tiny.PLANE)
        return tiny.weights(tiny.train(build(hp, on), on, [0], hp.updates), 0)

    reference = result(base)
    for field in dataclasses.fields(base):
        values, each = other_values(base, field.name)
        results = (result(dataclasses.replace(base, **{field.name: value})) for value in values)
        moved = (found.shape != reference.shape or not torch.equal(found, reference) for found in results)
        assert not values or (all(moved) if each else any(moved)), (field.name, values)


@methods
def test_half_precision_changes_sampling_and_still_trains(name: str) -> None:
    full, half = (tiny.trained(name, tiny.IMAGES, [0], precision=p) for p in ("fp32", "bf16"))
    assert half.alive.all() and not torch.equal(tiny.weights(full, 0), tiny.weights(half, 0))
    assert (tiny.weights(full, 0) - tiny.weights(half, 0)).abs().mean() < 5e-3  # a rounding, not another method


@methods
@shapes
def test_a_nan_batch_freezes_its_replicate_by_name_and_spares_the_others(name: str, shape: tuple[int, ...]) -> None:
    clean = tiny.data(shape)
    seen = [indices(seed, 1, 8, len(clean.train)) for seed in (0, 1)]
    others = {int(i) for u in range(4) for i in indices(1, u, 8, len(clean.train))} | {
        int(i) for i in indices(0, 0, 8, len(clean.train))}
    victim = next(int(i) for i in seen[0] if int(i) not in others)  # only seed 0 meets it, in its second update
    train = clean.train.copy()
    train[victim] = np.nan
    on = dataclasses.replace(clean, train=train)
    method = build(tiny.knobs(name), on)
    one = tiny.train(method, on, [0, 1], 1)
    frozen = tiny.weights(one, 0).clone()
    state = tiny.train(method, on, [0, 1], 3, one)
    assert state.diverged_at.tolist() == [2, -1] and state.alive.tolist() == [False, True]
    assert REASONS[int(state.reason[0])] == "non-finite"
    assert torch.equal(tiny.weights(state, 0), frozen)
    solo = tiny.weights(tiny.trained(name, shape, [1]), 0)
    assert (tiny.weights(state, 1) - solo).abs().max() < 1e-9


@methods
@shapes
def test_two_and_two_updates_through_a_checkpoint_are_four(name: str, shape: tuple[int, ...]) -> None:
    on = tiny.data(shape)
    method = build(tiny.knobs(name, spectral_norm=True), on)
    half = tiny.train(method, on, [0, 1], 2)
    payload = save_state(half)
    straight = save_state(tiny.train(method, on, [0, 1], 2, half))
    resumed = save_state(tiny.train(method, on, [0, 1], 2, load_state(payload, method, on, [0, 1])))
    assert resumed == straight and resumed != payload


def test_a_checkpoint_of_something_else_is_refused() -> None:
    on = tiny.data(tiny.PLANE)
    kl, jko = (build(tiny.knobs(m), on) for m in ("kl", "hidden"))
    payload = save_state(init_state(kl, on, [0]))
    with pytest.raises(CheckpointError, match="another configuration"):
        load_state(payload, jko, on, [0])
    with pytest.raises(CheckpointError, match="expected \\[1\\]"):
        load_state(payload, kl, on, [1])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_state(payload[:100], kl, on, [0])


@methods
def test_each_loss_moves_only_its_own_network(name: str) -> None:
    on = tiny.data(tiny.IMAGES)
    method = build(tiny.knobs(name), on)
    for mover in ("lr_f", "lr_g"):
        still = {"lr_f": 0.0, "lr_g": 0.0} | {mover: 1e-2}
        state = init_state(method, on, [0])
        state.adam_f.lr = still["lr_f"]
        if state.adam_g is not None:
            state.adam_g.lr = still["lr_g"]
        before = [[p.clone() for p in net.parameters()] for net in state.nets if net is not None]
        train_step(method, on, state)
        moved = [any(not torch.equal(p, q) for p, q in zip(net.parameters(), old, strict=True))
                 for net, old in zip([n for n in state.nets if n is not None], before, strict=True)]
        assert moved == ([mover == "lr_f", mover == "lr_g"][:len(moved)])


def _zero_score(nets: Networks) -> None:
    with torch.no_grad():
        for p in nets.f.parameters():
            p.zero_()


@methods
@shapes
def test_without_f_only_the_reference_pulls(name: str, shape: tuple[int, ...]) -> None:
    on = tiny.data(shape)
    method = build(tiny.knobs(name, step_size=0.3, temperature=0.0), on)
    state = init_state(method, on, [0])
    _zero_score(state.nets)
    noise = Noise(generators_for([0], "chain"), torch.float64)
    start = method.reference(noise, 5)
    draw, _ = method.run(state.nets, start, noise, 3)
    if hasattr(method.hp, "latent_steps"):
        start = start * (1 - method.hp.latent_step_size**2 / 2) ** method.hp.latent_steps
    if method.hp.uses_generator and not method.hp.latent_chain:
        start = state.nets.upsampler(start)
    shrunk = start * (1 - 0.3**2 / 2) ** 3  # sigma = 1: every noise-free step contracts by 1 - eta
    torch.testing.assert_close(draw.point, shrunk.detach(), rtol=1e-12, atol=1e-12)


@methods
def test_a_small_step_of_f_lowers_the_loss_it_descends(name: str) -> None:
    on = tiny.data(tiny.IMAGES)
    flows = [{"flow": "kl"}, {"flow": "jko"}] if hasattr(tiny.knobs(name), "flow") else [{}]
    for flow in flows:
        method = build(tiny.knobs(name, **flow), on)
        state = init_state(method, on, [0, 1])
        x_data = torch.from_numpy(on.train[None, :8]).double().expand(2, -1, -1, -1, -1)
        draw, _ = method.run(state.nets, method.start(None, None, x_data, state.noise), state.noise, 3)
        before = method.energy_loss(state.nets, draw, x_data, state.noise)
        gradients = torch.autograd.grad(before.loss.sum(), list(state.nets.f.parameters()))
        with torch.no_grad():
            for p, gradient in zip(state.nets.f.parameters(), gradients, strict=True):
                p -= 1e-4 * gradient
        after = method.energy_loss(state.nets, draw, x_data, state.noise)
        assert (after.loss < before.loss).all()
        if method.flow is kl_flow:  # E4: the gap f(data) - f(particles) rises
            gaps = [(found.f_data - found.f_negatives).mean(1) for found in (before, after)]
            assert (gaps[1] > gaps[0]).all()


@pytest.mark.parametrize("how", ["regression", "potential"])
@pytest.mark.parametrize("name", ["hidden", "amortized", "ggcn"])
def test_a_small_step_of_g_does_what_its_equation_says(name: str, how: str) -> None:
    on = tiny.data(tiny.IMAGES)
    method = build(tiny.knobs(name, upsampler_loss=how, step_size=0.2), on)
    state = init_state(method, on, [0, 1])
    draw, _ = method.run(state.nets, method.reference(state.noise, 8), state.noise, 3)
    z = draw.z_start if (name, how) == ("hidden", "regression") else draw.z
    assert z is not None

    def distance_and_score() -> tuple[torch.Tensor, torch.Tensor]:  # written out again, from E10 and E11
        made = state.nets.upsampler(z)
        return ((draw.x - made) ** 2).sum((2, 3, 4)).mean(1).detach(), state.nets.f(made).mean(1).detach()

    before = distance_and_score()
    loss = method.generator_loss(state.nets, draw)
    assert loss is not None
    gradients = torch.autograd.grad(loss.sum(), list(state.nets.upsampler.parameters()))
    with torch.no_grad():
        for p, gradient in zip(state.nets.upsampler.parameters(), gradients, strict=True):
            p -= 1e-4 * gradient
    after = distance_and_score()
    if how == "regression":
        assert (after[0] < before[0]).all()  # E10: g moves towards x_T
    else:
        assert (after[1] > before[1]).all()  # E11: E f(g(z)) rises
