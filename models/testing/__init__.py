"""The contract that every method keeps, as tests to inherit, for whoever writes one."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from models.data.data import some
from models.knobs import expected, knob_problem
from models.langevin import potential_and_gradient
from models.methods.hparams import HParams
from models.methods.kl import kl_flow
from models.methods.method import Networks
from models.noise import Noise, generators_for
from models.stability.divergence import REASONS
from models.testing import tiny
from models.training.batches import indices
from models.training.checkpoint import load_state, save_state
from models.training.fit import sample
from models.training.kept import keep, load
from models.training.step import init_state, train_step

Shape = tuple[int, ...]


def each_shape(check: Callable[[Any, Shape], None]) -> Callable[[Any], None]:
    """The check in the plane, and on images."""
    def every(self: Any) -> None:
        for shape in tiny.SHAPES:
            check(self, shape)

    every.__name__ = check.__name__
    return every


class MethodContract:
    """What every method must satisfy. Inherit it in a test file, and pytest runs each check:

        class TestTempered(MethodContract):
            method = "mylab.tempered:Tempered"
    """

    method: str  # as a spec has it: a built-in name, or package.module:Name

    def test_fused_replicates_of_an_mlp_equal_solo_bit_for_bit(self) -> None:
        fused = tiny.trained(self.method, tiny.PLANE, [3, 1, 2])
        for r, seed in enumerate([3, 1, 2]):
            assert torch.equal(tiny.weights(fused, r), tiny.weights(tiny.trained(self.method, tiny.PLANE, [seed]), 0))

    def test_fused_replicates_of_a_convnet_equal_solo(self) -> None:
        fused = tiny.trained(self.method, tiny.IMAGES, [3, 1, 2])
        for r, seed in enumerate([3, 1, 2]):
            solo = tiny.weights(tiny.trained(self.method, tiny.IMAGES, [seed]), 0)
            assert (tiny.weights(fused, r) - solo).abs().max() < 1e-9
            assert (tiny.weights(fused, r) - tiny.weights(fused, (r + 1) % 3)).abs().max() > 1e-3  # and seeds differ

    def test_loop_and_grouped_execution_agree(self) -> None:
        on = tiny.data(tiny.IMAGES)
        method = tiny.method(self.method, on)
        states = [init_state(method, on, [0, 1]) for _ in range(2)]
        for net in (states[1].nets.f, states[1].nets.g):
            if net is not None:
                assert net.fuse == "grouped"
                net.fuse = "loop"  # type: ignore[assignment]
        grouped, loop = (tiny.train(method, on, [0, 1], 3, state) for state in states)
        assert (tiny.weights(grouped, 1) - tiny.weights(loop, 1)).abs().max() < 1e-9

    @each_shape
    def test_its_slope_is_that_of_its_potential(self, shape: Shape) -> None:
        """E3 may take a faster way to the gradient: no other one."""
        on = tiny.data(shape)
        method = tiny.method(self.method, on, spectral_norm=True, score_scale=2.0)
        state = tiny.train(method, on, [0, 1], 2)
        point = method.draw(state.nets, state.pool, state.noise, 5).point
        u, gradient = potential_and_gradient(lambda p: method.potential(state.nets, p), point)
        slope = method.slope(state.nets)
        if slope is not None:
            value, found = slope(point)
            torch.testing.assert_close((value(), found), (u, gradient), rtol=1e-9, atol=1e-12)

    @each_shape
    def test_the_global_generators_do_not_matter(self, shape: Shape) -> None:
        first = tiny.trained(self.method, shape, [0])
        torch.manual_seed(99)
        np.random.seed(99)
        before = torch.get_rng_state()
        second = tiny.trained(self.method, shape, [0])
        assert torch.equal(tiny.weights(first, 0), tiny.weights(second, 0))
        assert torch.equal(before, torch.get_rng_state())  # nor are they drawn from

    @each_shape
    def test_pieces_of_a_batch_give_its_numbers(self, shape: Shape) -> None:
        """`micro_batch`: but for the order of sums. What is shown is the whole's, and chance goes on as behind it."""
        on = tiny.data(shape)
        names = {f.name for f in dataclasses.fields(tiny.knobs(self.method))}
        anchored = {"anchor": 1.0, "pretrain": 1, "steps_g": 2, "upsampler_loss": "regression", "bank": 16,
                    "entropy": 0.1}
        every: dict[str, Any] = {"anchor": anchored, "penalty_on": {"penalty_of": "f", "drift_clip": 0.1}}
        for changes in ({}, {"negatives_drift": 1}, *(changes for knob, changes in every.items() if knob in names)):
            found = []
            for size in (None, 3):  # of 8: the last one is smaller
                method = tiny.method(self.method, on, micro_batch=size, **changes)
                state, info = train_step(method, on, tiny.train(method, on, [0, 1], 3))
                found.append([*(tiny.weights(state, r) for r in (0, 1)), *info, state.noise.normal(4),
                              method.draw(state.nets, state.pool, state.noise, 8).x])
            for whole, pieces in zip(*found, strict=True):
                torch.testing.assert_close(pieces, whole, rtol=1e-9, atol=1e-12, equal_nan=True)

    def test_every_knob_changes_the_result(self) -> None:
        base = tiny.knobs(self.method)

        @functools.cache  # of one base all knobs have the same reference
        def result(hp: HParams, shape: Shape) -> torch.Tensor:
            on = tiny.data(shape)
            method = type(tiny.method(self.method, on))(hp, on.shape)
            state = tiny.train(method, on, [0], hp.updates)
            return torch.cat([tiny.weights(state, 0), torch.from_numpy(sample(method, state, 8)).double().flatten()])

        def changes(base: HParams, knob: str, shape: Shape) -> bool:
            values, each = other_values(base, knob)
            if any(base.shape_conflicts({knob: value}, shape) for value in values):
                return False
            reference = result(base, shape)
            results = (result(dataclasses.replace(base, **{knob: value}), shape) for value in values)
            moved = (found.shape != reference.shape or not torch.equal(found, reference) for found in results)
            return not values or (all(moved) if each else any(moved))

        knobs = {field.name for field in dataclasses.fields(base)}
        anchored = [tiny.knobs(self.method, anchor=1.0, pretrain=1)] if "anchor" in knobs else []
        for one in [base, *anchored]:
            for knob in sorted(knobs - {"network", "micro_batch"}):  # in the plane there is one; numbers stay
                assert changes(one, knob, tiny.PLANE) or changes(one, knob, tiny.IMAGES), knob
        assert not torch.equal(result(dataclasses.replace(base, network="mlp"), tiny.IMAGES), result(base, tiny.IMAGES))

    def test_a_knob_moves_the_balance_or_the_cost_only_where_it_says_that_it_enters(self) -> None:
        base = tiny.knobs(self.method)
        for field in dataclasses.fields(base):
            values, _ = other_values(base, field.name)
            for hp in (dataclasses.replace(base, **{field.name: value}) for value in values):
                assert hp.balance() == base.balance() or field.name in base.entering("law"), field.name
                cost = [one.gradients_until(one.updates) for one in (hp, base)]
                assert cost[0] == cost[1] or field.name in base.entering("cost"), field.name

    def test_a_budget_is_the_updates_that_it_pays_for(self) -> None:
        base = tiny.knobs(self.method)
        for updates in (1, 7, 100):
            cost = base.gradients_until(updates)
            assert base.gradients_until(updates - 1) < cost < base.gradients_until(updates + 1)
            assert dataclasses.replace(base, budget=float(cost)) == dataclasses.replace(base, updates=updates)

    def test_half_precision_changes_sampling_and_still_trains(self) -> None:
        full, half = (tiny.trained(self.method, tiny.IMAGES, [0], precision=p) for p in ("fp32", "bf16"))
        assert half.alive.all() and not torch.equal(tiny.weights(full, 0), tiny.weights(half, 0))
        assert (tiny.weights(full, 0) - tiny.weights(half, 0)).abs().mean() < 5e-3  # a rounding, not another method

    @each_shape
    def test_a_nan_batch_freezes_its_replicate_by_name_and_spares_the_others(self, shape: Shape) -> None:
        clean = tiny.data(shape)
        assert isinstance(clean.train, np.ndarray)
        seen = [indices(seed, 1, 8, len(clean.train)) for seed in (0, 1)]
        others = {int(i) for u in range(4) for i in indices(1, u, 8, len(clean.train))} | {
            int(i) for i in indices(0, 0, 8, len(clean.train))}
        victim = next(int(i) for i in seen[0] if int(i) not in others)  # only seed 0 meets it, in its second update
        train = clean.train.copy()
        train[victim] = np.nan
        on = dataclasses.replace(clean, train=train)
        method = tiny.method(self.method, on)
        one = tiny.train(method, on, [0, 1], 1)
        frozen = tiny.weights(one, 0).clone()
        state = tiny.train(method, on, [0, 1], 3, one)
        assert state.diverged_at.tolist() == [2, -1] and state.alive.tolist() == [False, True]
        assert REASONS[int(state.reason[0])] == "non-finite"
        assert torch.equal(tiny.weights(state, 0), frozen)
        solo = tiny.weights(tiny.trained(self.method, shape, [1]), 0)
        assert (tiny.weights(state, 1) - solo).abs().max() < 1e-9

    @each_shape
    def test_two_and_two_updates_through_a_checkpoint_are_four(self, shape: Shape) -> None:
        on = tiny.data(shape)
        method = tiny.method(self.method, on, spectral_norm=True)
        half = tiny.train(method, on, [0, 1], 2)
        payload = save_state(half)
        straight = save_state(tiny.train(method, on, [0, 1], 2, half))
        resumed = save_state(tiny.train(method, on, [0, 1], 2, load_state(payload, method, on, [0, 1])))
        assert resumed == straight and resumed != payload
        assert save_state(load(keep(half, method, on)).state) == straight

    def test_each_loss_moves_only_its_own_network(self) -> None:
        on = tiny.data(tiny.IMAGES)
        method = tiny.method(self.method, on)
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

    @each_shape
    def test_without_f_only_the_reference_pulls(self, shape: Shape) -> None:
        on = tiny.data(shape)
        method = tiny.method(self.method, on, step_size=0.3, temperature=0.0)
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

    def test_a_small_step_of_f_lowers_the_loss_it_descends(self) -> None:
        on = tiny.data(tiny.IMAGES)
        flows = [{"flow": "kl"}, {"flow": "jko"}] if hasattr(tiny.knobs(self.method), "flow") else [{}]
        for flow in flows:
            method = tiny.method(self.method, on, **flow)
            state = init_state(method, on, [0, 1])
            x_data = torch.from_numpy(some(on.train)[None, :8]).double().expand(2, -1, -1, -1, -1)
            draw, _ = method.run(state.nets, method.start(None, None, x_data, state.noise), state.noise, 3)
            before = method.energy_loss(state.nets, draw, x_data, state.noise)
            gradients = torch.autograd.grad(before.loss.sum(), list(state.nets.f.parameters()))
            with torch.no_grad():
                for p, gradient in zip(state.nets.f.parameters(), gradients, strict=True):
                    p.sub_(1e-4 * gradient)
            after = method.energy_loss(state.nets, draw, x_data, state.noise)
            assert (after.loss < before.loss).all()
            if method.flow is kl_flow:  # E4: the gap f(data) - f(particles) rises
                gaps = [(found.f_data - found.f_negatives).mean(1) for found in (before, after)]
                assert (gaps[1] > gaps[0]).all()


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
    found = [declared.metadata["like"]] if "like" in declared.metadata else found
    allowed = [v for v in found if v != now and not knob_problem(kind, knob, v)]
    assert allowed, f"{knob}: no other value was found"  # below there may be none: `penalty_on` of `hidden`
    return [v for v in allowed if not kind.conflicts({**given, knob: v})], bool(words) or bool in kinds


def _zero_score(nets: Networks) -> None:
    with torch.no_grad():
        for p in nets.f.parameters():
            p.zero_()
