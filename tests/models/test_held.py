"""Networks held fixed for a chain: by matrices or by autograd, always the same function."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from models.langevin import langevin
from models.methods.kl import KL
from models.methods.method import Networks
from models.networks.convnet import ConvScore
from models.networks.held import FewChannels, Pixels, as_matrix, by_matrices, doubled, halved, kept
from models.networks.layers import Fuse, convolved
from models.networks.mlp import MLPScore
from models.networks.upsampler import ConvUpsampler, ResUpsampler
from models.noise import Noise, generators_for
from models.testing import tiny

F64 = torch.float64


def drawn(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)), dtype=F64)


@pytest.mark.parametrize(("convolve", "plain", "weight", "side"), [
    (kept, partial(conv2d, padding=1), (3, 2, 3, 3), 5),
    (halved, partial(conv2d, stride=2, padding=1), (3, 2, 4, 4), 8),
    (halved, partial(conv2d, stride=2, padding=1), (3, 2, 4, 4), 7),
    (doubled(0), partial(conv_transpose2d, stride=2, padding=1), (2, 3, 4, 4), 3),
    (doubled(1), partial(conv_transpose2d, stride=2, padding=1, output_padding=1), (2, 3, 4, 4), 3)],
    ids=["kept", "halved", "halved, odd", "doubled", "doubled, odd"])
def test_a_convolution_as_a_matrix_is_torchs(convolve, plain, weight, side):
    w, b, x = drawn(2, *weight), drawn(2, 3), drawn(2, 5, 2, side, side)
    (matrix, bias) = as_matrix(convolve, (w, b), (2, side, side))
    found = torch.einsum("roi,rni->rno", matrix, x.flatten(2)) + bias[:, None]
    for r in range(2):
        torch.testing.assert_close(found[r], plain(x[r], w[r], b[r]).flatten(1), rtol=1e-12, atol=1e-12)


def made(kind: str, side: int, width: int, channels: int, fuse: Fuse) -> tuple[torch.nn.Module, Tensor]:
    """A network of two replicates, and what it is of."""
    generators, shape = generators_for([0, 1], "weights"), (channels, side, side)
    stages = [width] + [2 * width] * (1 if side < 8 else 2)
    if kind == "f":
        return ConvScore(shape, stages, generators, F64, fuse, outputs=3, scale=0.5), drawn(2, 4, *shape)
    g = {"g": ConvUpsampler, "residual g": ResUpsampler, "normalised g": ConvUpsampler}[kind]
    return g(3, shape, stages[::-1], generators, F64, fuse, (0.0, 1.0), kind == "normalised g", 1.2), drawn(2, 4, 3)


@pytest.mark.parametrize(("kind", "side", "channels"), [*product(["f", "g", "residual g", "normalised g"], [7, 8, 16],
                                                                 [1, 3])])
def test_held_it_is_what_it_is(kind, side, channels):
    for width, fuse in product([4, 16], ["grouped", "loop"]):
        net, x = made(kind, side, width, channels, fuse)
        y = net(x.requires_grad_())
        v = drawn(*y.shape)
        (expected,) = torch.autograd.grad(y, x, v)
        with torch.no_grad():
            value, pullback = net.held()(x.detach())
            torch.testing.assert_close(value(), y, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(pullback(v), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pullback_to_few_channels_is_torchs_and_has_no_second_derivative(channels):
    x, w, b = drawn(3, channels, 5, 5).requires_grad_(), drawn(6, channels, 3, 3), drawn(6)
    y, v = FewChannels.apply(x, w, b), drawn(3, 6, 5, 5)
    torch.testing.assert_close(y, conv2d(x, w, b, padding=1))
    (found,), (expected,) = (torch.autograd.grad(out, x, v) for out in (y, conv2d(x, w, b, padding=1)))
    torch.testing.assert_close(found, expected)
    (once,) = torch.autograd.grad(FewChannels.apply(x, w, b).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"graph|once_differentiable"):
        torch.autograd.grad(once.sum(), x)


def test_only_small_networks_become_matrices():
    small, large = (made("f", 8, width, 1, "grouped")[0] for width in (8, 32))
    assert small.in_matrices(small.parts()) is not None and large.in_matrices(large.parts()) is None


def test_in_the_plane_a_chain_is_bit_for_bit_that_of_autograd():
    """The kernels are the same: no number of a study in the plane moves by the faster way."""
    for name in ("kl", "hidden"):
        on = tiny.data(tiny.PLANE)
        method = tiny.method(name, on, precision="fp32")
        state = tiny.train(method, on, [0, 1], 1)
        start = method.reference(state.noise, 6)

        (x, info), (fast, known) = (
            langevin(partial(method.potential, state.nets), start, steps=5, step_size=0.3,
                     noise=Noise(generators_for([0, 1], "chain"), torch.float32), slope=slope)
            for slope in (None, method.slope(state.nets)))
        assert torch.equal(x, fast) and all(torch.equal(a, b) for a, b in zip(info[:2], known[:2], strict=True))


def test_weights_are_those_of_when_it_was_held():
    f = MLPScore([2, 8, 1], generators_for([0], "weights"), F64)
    held, x = f.held(), drawn(1, 4, 2)
    before = held(x)[0]().clone()
    with torch.no_grad():
        f.layers[0].bias.add_(1.0)
    assert not torch.equal(f(x), before) and torch.equal(f.held()(x)[0](), f(x).detach())


def test_another_function_or_potential_is_not_taken_for_the_inherited_one():
    class Doubled(MLPScore):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class Doubly(ConvScore):
        def apply_grouped(self, x, parts):
            return 2 * super().apply_grouped(x, parts)

    class Twice:
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class Mixed(Twice, MLPScore):
        pass

    class Bent(ConvScore):
        def _responses(self, x, parts):
            yield from (2 * h for h in super()._responses(x, parts))

    for f, x in ((Mixed([2, 8, 1], generators_for([0], "weights"), F64), drawn(1, 4, 2)),
                 (Bent((1, 8, 8), [2, 4, 4], generators_for([0], "weights"), F64, "grouped"), drawn(1, 4, 1, 8, 8)),
                 (Doubled([2, 8, 1], generators_for([0], "weights"), F64), drawn(1, 4, 2)),
                 (Doubly((1, 8, 8), [2, 4, 4], generators_for([0], "weights"), F64, "grouped"), drawn(1, 4, 1, 8, 8))):
        value, pullback = f.held()(x)
        torch.testing.assert_close(value(), f(x).detach())
        (expected,) = torch.autograd.grad(f(x.requires_grad_()).sum(), x)
        torch.testing.assert_close(pullback(torch.ones(1, 4, dtype=F64)), expected)

    halving = Pixels(drawn(1, 6, 3, 3, 3), drawn(1, 6))
    torch.testing.assert_close(convolved(drawn(2, 3, 8, 8), halving, 1, stride=2),
                               conv2d(drawn(2, 3, 8, 8), halving.weight[0], halving.bias[0], stride=2, padding=1))

    class Steeper(KL):
        def potential(self, nets, point):
            return 2 * super().potential(nets, point)

    on = tiny.data(tiny.PLANE)
    kl = tiny.method("kl", on)
    nets = Networks(MLPScore([2, 8, 1], generators_for([0], "weights"), F64), None)
    assert kl.slope(nets) is not None and Steeper(kl.hp, kl.shape).slope(nets) is None


def test_matrices_by_hand():
    w, b = torch.tensor([[[2.0]]]), torch.tensor([[1.0]])
    value, pullback = by_matrices([(w, b), (w, b)])(torch.tensor([[[0.5]]]))
    s = torch.sigmoid(torch.tensor(2.0))
    assert value().item() == pytest.approx(float(2 * 2 * s + 1))
    assert pullback(torch.ones(1, 1, 1)).item() == pytest.approx(float(4 * s * (1 + 2 * (1 - s))))
