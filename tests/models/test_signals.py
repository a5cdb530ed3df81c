"""Response gap, signal to noise and saturation: literal versions, and laws whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, silu

from models.measures.signals import response_gap, saturation_excess, update_snr
from models.methods.method import Draw, Networks
from models.networks.convnet import ConvScore
from models.networks.layers import Network
from models.networks.mlp import MLPScore
from models.noise import Noise, generators_for
from models.testing import tiny
from models.training.step import init_state


def clouds(n: int, m: int, *shape: int, replicates: int = 2) -> tuple[Tensor, Tensor]:
    noise = Noise(generators_for(range(replicates), "chain"), torch.float64)
    return noise.normal(n, *shape), noise.normal(m, *shape)


def literal_gap(a: Tensor, b: Tensor) -> float:
    """Of one replicate and layer; a, b: (n, channels)."""
    x, y = a.numpy(), b.numpy()
    return float(np.linalg.norm(x.mean(0) - y.mean(0)) / np.sqrt(np.var(x, axis=0, ddof=1).sum()))


def test_response_gap_of_an_mlp_layer_by_layer() -> None:
    f = MLPScore([2, 7, 5, 1], generators_for([0, 1], "weights"), torch.float64)
    x, y = clouds(11, 6, 2)
    found = response_gap(f, x, y + 0.3, 5)
    assert found.shape == (2, 2)
    for r in range(2):
        a, b = x[r], y[r] + 0.3
        for k, layer in enumerate(f.layers[:-1]):
            a, b = (silu(p @ layer.weight[r].T + layer.bias[r]).detach() for p in (a, b))
            assert found[r, k].item() == pytest.approx(literal_gap(a, b), rel=1e-9)


@pytest.mark.parametrize("fuse", ["grouped", "loop"])
def test_response_gap_of_a_convnet_is_of_means_over_pixels(fuse: str) -> None:
    f = ConvScore((1, 8, 8), [3, 6, 6], generators_for([0, 1], "weights"), torch.float64, fuse, spectral=True)  # type: ignore[arg-type]
    x, y = clouds(9, 12, 1, 8, 8)
    found = response_gap(f, x, y * 0.5, 100)
    assert found.shape == (2, 3)
    for r in range(2):
        a, b = x[r], y[r] * 0.5
        for k, layer in enumerate(f.layers[:-1]):
            a, b = (silu(conv2d(p, layer.effective()[r], layer.bias[r], stride=2 if k else 1, padding=1)).detach()
                    for p in (a, b))
            assert found[r, k].item() == pytest.approx(literal_gap(a.mean((2, 3)), b.mean((2, 3))), rel=1e-9)


class Bare(Network):
    """Its one hidden layer is x itself; f(x) = -a ||x||^2 / 2."""

    def __init__(self, replicates: int) -> None:
        super().__init__([])
        self.a = nn.Parameter(torch.zeros(replicates, 1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return -self.a * x.square().sum(-1) / 2

    def hidden(self, x: Tensor) -> list[Tensor]:
        return [x]


def test_response_gap_of_known_laws() -> None:
    """Means m apart at unit variances in 5 channels: gap^2 = m^2 / 5; of one law it is 1/n + 1/m on average."""
    x, y = clouds(4000, 4000, 5)
    shift = torch.tensor([3.0, 0, 0, 0, 4.0], dtype=torch.float64)
    assert response_gap(Bare(2), x, y + shift, 7)[:, 0].tolist() == pytest.approx([5 / 5**0.5] * 2, rel=0.03)
    assert response_gap(Bare(2), x, x, 9).abs().max() == 0
    x, y = clouds(40, 25, 5, replicates=1500)
    assert response_gap(Bare(1500), x, y, 10).square().mean().item() == pytest.approx(1 / 40 + 1 / 25, rel=0.06)


def test_a_network_without_hidden_layers_has_no_gap() -> None:
    x, y = clouds(4, 4, 2)
    assert response_gap(Network([]), x, y, 3).shape == (2, 0)


def drawn(x: Tensor) -> Draw:
    return Draw(x, x, x, None, None, None)  # type: ignore[arg-type]


def test_signal_to_noise_of_a_gradient_known_by_hand() -> None:
    """E4 of f = -a ||x||^2 / 2: a micro-batch's gradient is (mean ||x+||^2 - mean ||x-||^2) / 2."""
    x, y = clouds(24, 30, 2)
    method = tiny.method("kl", tiny.data(tiny.PLANE))
    found = update_snr(method, Networks(Bare(2), None), drawn(1.5 * y), x, None)  # type: ignore[arg-type]
    for r in range(2):
        a, b = (x[r] ** 2).sum(-1).numpy(), (2.25 * y[r] ** 2).sum(-1).numpy()
        g = np.array([a[3 * k:3 * k + 3].mean() - b[3 * k:3 * k + 3].mean() for k in range(8)]) / 2
        assert found[r].item() == pytest.approx(abs(g.mean()) / (g.std(ddof=1) / np.sqrt(8)), rel=1e-9)


def test_where_only_chance_moves_f_it_is_a_t_statistic() -> None:
    """One parameter and one law on both sides: Student's |t| with 7 degrees of freedom, of median 0.711."""
    x, y = clouds(256, 256, 1, replicates=4000)
    method = tiny.method("kl", tiny.data(tiny.PLANE))
    found = update_snr(method, Networks(Bare(4000), None), drawn(y), x, None)  # type: ignore[arg-type]
    assert found.median().item() == pytest.approx(0.711, rel=0.05)
    assert found.square().mean().item() == pytest.approx(7 / 5, rel=0.12)


@pytest.mark.parametrize("name", tiny.ALL)
@pytest.mark.parametrize("shape", [tiny.PLANE, tiny.IMAGES], ids=["plane", "images"])
def test_signal_to_noise_is_over_all_parameters_of_each_replicate(name: str, shape: tuple[int, ...]) -> None:
    on = tiny.data(shape)
    method = tiny.method(name, on, **{"particles": 20} if name != "amortized" else {})
    x_data = torch.tensor(np.stack([on.train[:17], on.train[20:37]]), dtype=torch.float64)

    def measured(seeds: list[int], rows: slice) -> tuple[Tensor, list[Tensor]]:
        state = init_state(method, on, seeds)
        draw = method.draw(state.nets, state.pool, Noise(generators_for(seeds, "evaluation"), torch.float64), 19)
        found = update_snr(method, state.nets, draw, x_data[rows], state.noise)
        gradients = []
        for b in range(8):
            part = slice(2 * b, 2 * b + 2)
            piece = Draw(draw.x[:, part], draw.point[:, part], draw.negatives[:, part], None, None, draw.info)
            loss = method.energy_loss(state.nets, piece, x_data[rows][:, part], state.noise).loss.sum()
            gradients.append(torch.cat([g.flatten(1) for g in
                                        torch.autograd.grad(loss, list(state.nets.f.parameters()))], 1))
        return found, gradients

    fused, gradients = measured([0, 1], slice(0, 2))
    g = torch.stack(gradients).numpy()
    for r in range(2):
        error = np.sqrt(g[:, r].var(0, ddof=1).sum() / 8)
        assert fused[r].item() == pytest.approx(np.linalg.norm(g[:, r].mean(0)) / error, rel=1e-6)
        assert measured([r], slice(r, r + 1))[0].item() == pytest.approx(fused[r].item(), rel=1e-6)
    assert update_snr(method, init_state(method, on, [0, 1]).nets, drawn(x_data[:, :7]), x_data,
                      None).isnan().all()  # type: ignore[arg-type]


def test_saturation_counts_what_lies_within_one_part_in_256_of_an_end_or_outside() -> None:
    low, high = 0.0, 256.0
    data = np.array([0.5, 10, 100, 255.5]).reshape(1, 1, 2, 2)
    samples = np.array([-40.0, 1.0, 1.1, 254.9, 255.0, 256, 300, 128]).reshape(2, 1, 2, 2)
    assert saturation_excess(samples, data, (low, high)) == pytest.approx(5 / 8 - 2 / 4)
    assert saturation_excess(data, data, (low, high)) == 0
    assert saturation_excess(samples / 128 - 1, data / 128 - 1, (-1.0, 1.0)) == pytest.approx(5 / 8 - 2 / 4)
