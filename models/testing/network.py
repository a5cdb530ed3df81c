"""The contract that every network of f keeps, as tests to inherit, for whoever writes one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from models.methods.method import knobs_of
from models.networks.choice import network_problem, own_knobs, score_network
from models.networks.layers import Score
from models.noise import generators_for
from models.testing import other_values, tiny
from models.training.checkpoint import load_state, save_state


class NetworkContract:
    """What every `Score` must satisfy, on the data that it takes. Inherit it in a test file; pytest runs each check:

        class TestResidual(NetworkContract):
            network = "mylab.residual:Residual"
    """

    network: str  # as a spec has it: a built-in name, or package.module:Name

    def shapes(self) -> Iterator[tuple[int, ...]]:
        """Points in the plane, and images, unless it says that it does not take them."""
        yield from (shape for shape in tiny.SHAPES if network_problem(self.network, shape) is None)

    def made(self, shape: tuple[int, ...], seeds: list[int], **knobs: Any) -> Score:
        hp = knobs_of("kl", self.network)(width=2, network=self.network, **knobs)
        return score_network(shape, hp, generators_for(seeds, "weights"), dtype=torch.float64, fuse="grouped")

    def test_it_takes_some_data(self) -> None:
        assert [*self.shapes()]

    def test_replicates_are_those_of_solo_networks_and_never_touch(self) -> None:
        for shape in self.shapes():
            f, x = self.made(shape, [3, 1, 2]), points(shape, 3)
            out = f(x)
            assert out.shape == (3, 5)
            for r, seed in enumerate([3, 1, 2]):
                torch.testing.assert_close(out[r], self.made(shape, [seed])(x[r:r + 1])[0], rtol=1e-9, atol=1e-9)
            for p, gradient in zip(f.parameters(), torch.autograd.grad(out[1].sum(), [*f.parameters()]), strict=True):
                assert gradient.shape == p.shape and len(p) == 3, "parameters begin with the axis of replicates"
                assert not gradient[0].any() and not gradient[2].any()

    def test_held_fixed_it_is_the_same(self) -> None:
        """What a chain calls: the output, and v dy/dx."""
        for shape in self.shapes():
            f, x = self.made(shape, [3, 1], spectral_norm=True, score_scale=2.0), points(shape, 2).requires_grad_()
            y = f(x)
            v = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
            (expected,) = torch.autograd.grad(y, x, v)
            for reduced, near in ((False, 1e-9), (True, 0.05)):
                value, pullback = f.held(reduced)(x.detach())
                torch.testing.assert_close(value(), y.detach(), rtol=near, atol=near * float(y.detach().abs().max()))
                torch.testing.assert_close(pullback(v), expected, rtol=near, atol=near * float(expected.abs().max()))

    def test_it_curves(self) -> None:
        """kappa and E6 need a second derivative in x: that of a ReLU is 0."""
        for shape in self.shapes():
            x = points(shape, 1).requires_grad_()
            (slope,) = torch.autograd.grad(self.made(shape, [0])(x).sum(), x, create_graph=True)
            (curvature,) = torch.autograd.grad(slope.square().sum(), x)
            assert curvature.abs().max() > 0

    def test_score_scale_multiplies(self) -> None:
        for shape in self.shapes():
            plain, twice = (self.made(shape, [0], score_scale=scale)(points(shape, 1)) for scale in (1.0, 2.0))
            torch.testing.assert_close(twice, 2 * plain)

    def test_every_knob_of_its_own_changes_it(self) -> None:
        own = own_knobs(self.network)
        for knob in [] if own is None else [f.name for f in dataclasses.fields(own)]:
            for shape in self.shapes():
                base = self.made(shape, [0])(points(shape, 1))
                values, _ = other_values(knobs_of("kl", self.network)(width=2), knob)
                assert any(not torch.equal(base, self.made(shape, [0], **{knob: v})(points(shape, 1)))
                           for v in values if not isinstance(v, int) or v <= 8), knob

    def test_two_and_two_updates_through_a_checkpoint_are_four(self) -> None:
        for shape in self.shapes():
            on = tiny.data(shape)
            method = tiny.method("kl", on, network=self.network, spectral_norm=True)
            half = tiny.train(method, on, [0, 1], 2)
            payload = save_state(half)
            straight = save_state(tiny.train(method, on, [0, 1], 2, half))
            assert straight == save_state(tiny.train(method, on, [0, 1], 2, load_state(payload, method, on, [0, 1])))
            assert straight != payload


def points(shape: tuple[int, ...], replicates: int) -> torch.Tensor:
    """(replicates, 5, *shape), each replicate's its own."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(replicates, 5, *shape, generator=generator, dtype=torch.float64)
