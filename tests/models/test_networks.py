"""f is the network that is named; g speaks the data's units."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import pytest
import torch

import models
from models.knobs import knob, knob_problem
from models.methods.kl import KLKnobs
from models.methods.method import knobs_of
from models.networks.choice import network_problem
from models.networks.convnet import ConvScore
from models.networks.mlp import MLPScore
from models.testing import tiny
from models.testing.network import NetworkContract
from models.training.step import init_state, train_step

SPAN = (0.0, 255.0)


@pytest.mark.parametrize("name", ["hidden", "amortized", "ggcn"])
def test_g_spans_what_black_and_white_are(name: str) -> None:
    """An extreme g makes both ends, whatever they are, and the middle is between them; in the plane g has no end."""
    on = dataclasses.replace(tiny.data(tiny.IMAGES), extent=SPAN)
    g = init_state(tiny.method(name, on), on, (0, 1)).nets.upsampler
    plain = init_state(tiny.method(name, on), tiny.data(tiny.IMAGES), (0, 1)).nets.upsampler
    z = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(g(z), 127.5 + 127.5 * plain(z))
        for bias, end in ((1e3, SPAN[1]), (-1e3, SPAN[0])):
            g.layers[-1].bias.fill_(bias)
            assert (g(z) == end).all()
        plane = init_state(tiny.method(name, tiny.data(tiny.PLANE)), tiny.data(tiny.PLANE), (0,)).nets.upsampler
        plane.layers[-1].bias.fill_(7.0)
        assert (plane(z[:1]) > 3).all()


def test_a_step_of_g_is_learned_in_the_data_s_units() -> None:
    """E10 regresses on x_T: with ends that g could not reach, its least loss would be the distance to them."""
    on = tiny.data(tiny.IMAGES)
    bright = dataclasses.replace(on, extent=(2.0, 4.0), train=3 + on.train)
    method = tiny.method("amortized", bright, sigma=5.0, lr_g=0.02)
    state = init_state(method, bright, (0,))
    for _ in range(30):
        state, info = train_step(method, bright, state)
    with torch.no_grad():
        made = state.nets.upsampler(method.reference(state.noise, 64))
    assert 2 < made.min() and made.max() < 4
    assert info.loss_g < 64 * 1.0  # 64 pixels, a distance of 1 each: half of the extent


# f

def test_the_network_is_the_shape_s_own_unless_one_is_named() -> None:
    for shape, kind in ((tiny.PLANE, MLPScore), (tiny.IMAGES, ConvScore)):
        on = tiny.data(shape)
        assert type(init_state(tiny.method("kl", on), on, (0,)).nets.f) is kind
    on = tiny.data(tiny.IMAGES)
    named = init_state(tiny.method("kl", on, network="mlp"), on, (0, 1)).nets.f
    x = torch.randn(2, 5, *tiny.IMAGES, dtype=torch.float64)
    assert type(named) is MLPScore and torch.equal(named(x), named(x.flatten(2))) and named(x).shape == (2, 5)
    assert [h.shape for h in named.hidden(x)] == [(2, 5, 16), (2, 5, 16)]
    with pytest.raises(ValueError, match="network: found convnet, expected mlp: points in the plane have no pixels"):
        init_state(tiny.method("kl", tiny.data(tiny.PLANE), network="convnet"), tiny.data(tiny.PLANE), (0,))


def test_replicates_of_an_mlp_on_images_are_those_of_solo_runs() -> None:
    fused = tiny.trained("jko", tiny.IMAGES, [3, 1], network="mlp")
    solo = tiny.trained("jko", tiny.IMAGES, [1], network="mlp")
    assert torch.equal(tiny.weights(fused, 1), tiny.weights(solo, 0))


@dataclass(frozen=True, kw_only=True)
class ScaledKnobs:
    blocks: int = knob(2, "hidden layers", low=1)


class Deep(MLPScore):
    """A network from outside, with a knob of its own."""

    Knobs = ScaledKnobs

    @classmethod
    def shape_problem(cls, shape: Sequence[int]) -> str | None:
        return "Deep sees points only" if len(shape) > 1 else None

    @classmethod
    def make(cls, shape: Sequence[int], hp: Any, generators: Any, *, dtype: torch.dtype, fuse: Any) -> Deep:
        return cls([*shape, *[hp.width] * hp.blocks, 1], generators, dtype, hp.spectral_norm, hp.score_scale)


class TestMLP(NetworkContract):
    network = "mlp"


class TestConvNet(NetworkContract):
    network = "convnet"


class TestResNet(NetworkContract):
    network = "resnet"


class TestDeep(NetworkContract):
    network = f"{__name__}:Deep"


class Leaky(Deep):
    """Broken: every replicate sees the first one's points."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x[:1].flatten(2).sum(-1)


class Straight(Deep):
    """Broken: linear in x."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * torch.einsum("rni,ri->rn", x.flatten(2), self.layers[0].weight[:, 0])


class Deaf(Deep):
    """Broken: its knob does nothing."""

    @classmethod
    def make(cls, shape: Sequence[int], hp: Any, generators: Any, *, dtype: torch.dtype, fuse: Any) -> Deaf:
        return cls([*shape, hp.width, 1], generators, dtype, hp.spectral_norm, hp.score_scale)


@pytest.mark.parametrize(("network", "check"), [
    (Leaky, "test_replicates_are_those_of_solo_networks_and_never_touch"), (Straight, "test_it_curves"),
    (Leaky, "test_score_scale_multiplies"), (Deaf, "test_every_knob_of_its_own_changes_it")])
def test_a_broken_network_fails_where_it_should(network: type, check: str) -> None:
    contract = type("Contract", (NetworkContract,), {"network": f"{__name__}:{network.__name__}"})()
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(contract, check)()


def test_a_network_from_outside_brings_its_own_knobs_and_keeps_the_balance() -> None:
    name, on = f"{__name__}:Deep", tiny.data(tiny.PLANE)
    assert knobs_of("kl") is KLKnobs is knobs_of("kl", "mlp") and knob_problem(KLKnobs, "network", name) is None
    knobs = knobs_of("kl", name)
    assert {f.name for f in fields(knobs)} == {f.name for f in fields(KLKnobs)} | {"blocks"}
    assert knob_problem(knobs, "blocks", 0) == "found 0, expected a whole number >= 1"
    assert knobs(temperature=0.5).balance() == KLKnobs(temperature=0.5).balance() is not None
    f = init_state(models.build("kl", on, network=name, blocks=3, width=2), on, (0,)).nets.f
    assert len(f.layers) == 4
    assert network_problem(name, (1, 8, 8)) == "Deep sees points only" and network_problem(name, (2,)) is None
    assert knob_problem(KLKnobs, "network", "mylab.nets:Deep") == (
        "found 'mylab.nets:Deep', expected a module that can be imported: ModuleNotFoundError: No module named 'mylab'"
        "; a spec names it under import: mylab")
    assert knob_problem(KLKnobs, "network", None) is None
    assert knob_problem(KLKnobs, "network", "unet") == (
        "found 'unet', expected one of mlp, convnet, resnet, package.module:Name or null")
