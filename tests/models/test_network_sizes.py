"""Built-in networks of every size: as they are written out by hand, for every image, with every method."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, silu

from models.methods.method import knobs_of
from models.networks.choice import score_network
from models.networks.convnet import ConvScore
from models.networks.knobs import BUILT_IN
from models.networks.layers import Layer
from models.networks.resnet import ResNetScore
from models.networks.upsampler import ResUpsampler, upsampler_network
from models.noise import generators_for
from models.registry import METHODS, NETWORKS, find
from models.testing import tiny
from models.training.checkpoint import load_state, save_state

F64 = torch.float64
IMAGES = [(c, side, side) for side in (4, 8, 25, 28, 32, 64) for c in (1, 3)]


def made(network: str | None, shape: tuple[int, ...], seeds: tuple[int, ...] = (0,), **knobs: Any) -> Any:
    hp = knobs_of("kl", network)(**{"network": network, "width": 2, **knobs})
    return score_network(shape, hp, generators_for(seeds, "weights"), dtype=F64, fuse="grouped")


def upsampler(shape: tuple[int, ...], seeds: tuple[int, ...] = (0,), **knobs: Any) -> Any:
    hp = knobs_of("amortized")(**{"latent_dim": 3, "width": 2, **knobs})
    return upsampler_network(shape, hp, generators_for(seeds, "weights"), dtype=F64, fuse="grouped")


def normal(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(0), dtype=F64)


def size(network: torch.nn.Module) -> int:
    return sum(p[0].numel() for p in network.parameters())


def test_the_table_of_knobs_is_what_the_networks_state() -> None:
    assert BUILT_IN == {name: find("network", name).Knobs for name in NETWORKS}


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("knobs", [
    {"network": "convnet"}, {"network": "resnet"}, {"network": "resnet", "down": "strided", "blocks": 2},
    {"network": "resnet", "spectral_norm": True, "outputs": 3}, {"network_g": "convnet", "norm_g": "group"},
    {"network_g": "convnet", "widths_g": "3-2"}, {"network_g": "resnet"},
    {"network_g": "resnet", "norm_g": "group", "width_g": 4}], ids=str)
def test_networks_of_every_image_run_grouped_in_a_loop_and_alone(shape: tuple[int, ...], knobs: dict[str, Any]) -> None:
    of_f = "network" in knobs
    new = (lambda seeds: made(shape=shape, seeds=seeds, **knobs)) if of_f else (
        lambda seeds: upsampler(shape, seeds, **knobs))
    net, x = new((3, 1)), normal(2, 5, *(shape if of_f else (3,)))
    grouped = net(x)
    assert grouped.shape == ((2, 5) if of_f else (2, 5, *shape)) and net.fuse == "grouped"
    for r, seed in enumerate((3, 1)):
        torch.testing.assert_close(grouped[r], new((seed,))(x[r:r + 1])[0], rtol=1e-9, atol=1e-9)
    if of_f:
        assert [h.shape[:2] for h in net.hidden(x)] == [(2, 5)] * (int(math.log2(shape[1])))
    net.fuse = "loop"
    torch.testing.assert_close(net(x), grouped, rtol=1e-9, atol=1e-9)


# by hand, of one network without the axis of replicates

def conv(h: Tensor, layer: Layer, **how: int) -> Tensor:
    return conv2d(h, layer.effective()[0], layer.bias[0], **how)


def block(h: Tensor, layers: list[Layer], normed: bool = False) -> Tensor:
    def act(h: Tensor) -> Tensor:  # groups of four channels
        groups = h.reshape(len(h), -1, 4, *h.shape[2:]) if normed else h
        mean, var = (groups.mean((2, 3, 4), keepdim=True), groups.var((2, 3, 4), keepdim=True, unbiased=False)
                     ) if normed else (0.0, 1 - 1e-5)
        return silu(((groups - mean) / (var + 1e-5)**0.5).reshape(h.shape))

    first, second = layers.pop(0), layers.pop(0)
    y = conv(act(conv(act(h), first, padding=1)), second, padding=1)
    return y + (conv(h, layers.pop(0)) if y.shape[1] != h.shape[1] else h)


@pytest.mark.parametrize("spectral", [False, True])
@pytest.mark.parametrize("down", ["average", "strided"])
def test_the_residual_f_is_that_written_out(down: str, spectral: bool) -> None:
    f = made("resnet", (3, 12, 12), widths="2-3-3", blocks=2, outputs=4, score_scale=1.5, down=down,
             spectral_norm=spectral)
    x, layers, stages = normal(1, 5, 3, 12, 12), [*f.layers], []
    h = conv(x[0], layers.pop(0), padding=1)
    for stage in range(3):
        if stage:
            h = avg_pool2d(h, 2) if down == "average" else conv(h, layers.pop(0), padding=1, stride=2)
        h = block(block(h, layers), layers)
        stages.append(h.mean((2, 3)))
    out = silu(h).sum((2, 3)) @ layers[0].effective()[0].T + layers.pop(0).bias[0]
    assert out.shape == (5, 4) and layers == []
    torch.testing.assert_close(f(x)[0], 1.5 * out.sum(-1))
    for ours, theirs in zip(f.hidden(x), stages, strict=True):
        torch.testing.assert_close(ours[0], theirs)


@pytest.mark.parametrize("norm", ["none", "group"])
def test_the_residual_g_is_that_written_out(norm: str) -> None:
    g = upsampler((3, 14, 14), network_g="resnet", width_g=4, gain_g=2.0, norm_g=norm)
    z, layers = normal(1, 5, 3), [*g.layers]
    h = (z[0] @ layers[0].weight[0].T + layers.pop(0).bias[0]).reshape(5, 8, 3, 3)
    for side in (7, 14):
        h = block(interpolate(h, size=(side, side), mode="nearest"), layers, norm == "group")
    last = layers.pop(0)
    h = torch.nn.functional.group_norm(h, 1) if norm == "group" else h
    torch.testing.assert_close(g(z)[0], 2 * torch.tanh(conv(silu(h), last, padding=1)))
    assert layers == [] and isinstance(g, ResUpsampler)


def test_outputs_are_summed_and_one_is_as_it_was() -> None:
    """Of four outputs, networks with the same features and one of them each."""
    f, x = made("convnet", tiny.IMAGES, outputs=4), normal(1, 5, *tiny.IMAGES)
    one = made("convnet", tiny.IMAGES)
    total = torch.zeros(1, 5, dtype=F64)
    for k in range(4):
        with torch.no_grad():
            for ours, theirs in zip(one.layers, f.layers, strict=True):
                ours.weight.copy_(theirs.weight[:, k:k + 1] if ours is one.layers[-1] else theirs.weight)
                ours.bias.copy_(theirs.bias[:, k:k + 1] if ours is one.layers[-1] else theirs.bias)
        total += one(x)
    torch.testing.assert_close(f(x), total)


def test_widths_are_the_channels_of_stages() -> None:
    x = normal(1, 5, *tiny.IMAGES)
    for network in ("convnet", "resnet"):
        assert torch.equal(made(network, tiny.IMAGES, widths="3-6-6")(x), made(network, tiny.IMAGES, width=3)(x))
        assert [h.shape[-1] for h in made(network, tiny.IMAGES, widths="5-1").hidden(x)] == [5, 1]
        with pytest.raises(ValueError, match="widths: found 4 stages, expected at most 3: 8 pixels are halved to 2"):
            made(network, tiny.IMAGES, widths="1-1-1-1")
    assert torch.equal(made(None, tiny.IMAGES)(x), made("convnet", tiny.IMAGES)(x))


def test_widths_of_g_begin_at_the_pixels_that_are_left() -> None:
    z = normal(1, 5, 3)
    for network in ("convnet", "resnet"):
        g = {widths: upsampler((1, 16, 16), network_g=network, width=3, widths_g=widths) for widths in (
            None, "6-6-6-3", "5-4-3")}
        assert torch.equal(g[None](z), g["6-6-6-3"](z))
        assert g["5-4-3"].sides == [4, 8, 16] and g["5-4-3"].layers[0].weight.shape == (1, 5 * 4**2, 3)
        with pytest.raises(ValueError, match="widths: found 5 stages, expected at most 4: 16 pixels are halved to 2"):
            upsampler((1, 16, 16), network_g=network, widths_g="1-1-1-1-1")


def test_sizes_of_released_code() -> None:
    """CoopNets for 32 pixels, DRL's f without its noise levels, and the g of dual-MCMC, counted by hand."""
    g = upsampler((3, 32, 32), network_g="resnet", widths_g="256-256-256-256", latent_dim=128)
    assert size(g) == 4096 * 129 + 6 * 256 * (256 * 9 + 1) + 3 * (256 * 9 + 1)
    f = made("convnet", (3, 32, 32), widths="64-128-256", outputs=100)
    assert size(f) == 64 * 28 + 128 * (64 * 16 + 1) + 256 * (128 * 16 + 1) + 100 * (256 * 64 + 1)
    same, wider = 2 * 256 * (256 * 9 + 1), 256 * (128 * 9 + 1) + 256 * (256 * 9 + 1) + 256 * 129
    f = made("resnet", (3, 32, 32), widths="128-256-256-256", blocks=2)
    assert size(f) == 128 * 28 + 4 * 128 * (128 * 9 + 1) + wider + same + 2 * 2 * same + 257


# how they begin

@torch.no_grad()
@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_begin_as_init_says(kind: str) -> None:
    shape, g = (tiny.PLANE, "convnet") if kind == "mlp" else ((3, 32, 32), kind)
    for net in (made(kind, shape, (0, 1), init="normal", width=16),
                upsampler(shape, (0, 1), network_g=g, init="normal", width=16)):
        many = torch.cat([layer.weight.flatten(1) for layer in net.layers], 1)
        assert many.std(1).tolist() == pytest.approx([0.02, 0.02], rel=0.1) and many.mean().abs() < 0.002
        assert not any(layer.bias.any() for layer in net.layers) and not torch.equal(many[0], many[1])
    for layer in made(kind, shape, (0,), init="xavier", width=16).layers:
        expected = torch.nn.init.xavier_normal_(torch.empty_like(layer.weight[0]),
                                                generator=torch.Generator().manual_seed(0))
        if expected.numel() > 400:
            assert float(layer.weight.std() / expected.std()) == pytest.approx(1, abs=0.1)
    for layer in made(kind, shape, (0, 1), init="normal", spectral_norm=True).layers:
        top = torch.linalg.matrix_norm(layer.effective().flatten(2), 2)
        assert (0.99 < top).all() and (top < 1.5).all(), "the power iteration starts anew"


def test_uniform_is_how_layers_are_made() -> None:
    """And takes nothing more from a replicate's chance, of which g begins after f."""
    one, other = generators_for((0,), "weights"), generators_for((0,), "weights")
    bare = ConvScore(tiny.IMAGES, [2, 4, 4], one, F64, "grouped")
    begun = score_network(tiny.IMAGES, knobs_of("kl")(width=2), other, dtype=F64, fuse="grouped")
    x = normal(1, 5, *tiny.IMAGES)
    assert torch.equal(begun(x), bare(x)) and torch.equal(one[0].get_state(), other[0].get_state())


def test_replicates_begin_by_their_own_seeds() -> None:
    for init in ("normal", "xavier"):
        fused, solo = (made("resnet", tiny.IMAGES, seeds, init=init) for seeds in ((3, 1), (1,)))
        for ours, theirs in zip(fused.parameters(), solo.parameters(), strict=True):
            assert torch.equal(ours[1], theirs[0])


# with every method

@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("more", [
    {"network": "resnet", "spectral_norm": True},
    {"network": "convnet", "widths": "3-2", "outputs": 5, "init": "xavier"},
    {"network": "resnet", "network_g": "resnet", "norm_g": "group", "ema": 2.0, "down": "strided"}], ids=str)
def test_every_method_trains_with_each_network(name: str, more: dict[str, Any]) -> None:
    """Fused as solo, through a checkpoint as straight."""
    has_g = knobs_of(name).uses_generator
    knobs = {knob: value for knob, value in more.items() if has_g or not knob.endswith("_g")}
    on = tiny.data(tiny.IMAGES)
    method = tiny.method(name, on, **knobs)
    half = tiny.train(method, on, [0, 1], 2)
    payload = save_state(half)
    straight = tiny.train(method, on, [0, 1], 2, half)
    assert straight.alive.all()
    resumed = load_state(payload, method, on, [0, 1])
    assert save_state(tiny.train(method, on, [0, 1], 2, resumed)) == save_state(straight)
    solo = tiny.weights(tiny.trained(name, tiny.IMAGES, [1], **knobs), 0)
    assert (tiny.weights(straight, 1) - solo).abs().max() < 1e-9
    assert type(straight.nets.f) is (ResNetScore if knobs["network"] == "resnet" else ConvScore)
