"""The code against independent code, in float64: JAX, BlackJAX, Optax, TorchEBM, ArviZ. (FD, SciPy: test_quality.)

Tolerances are those of rounding: a missing 1/2 or a factor of two misses them by eight orders of magnitude.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.langevin import langevin, potential_and_gradient
from models.measures.chains import ess, rhat
from models.methods.method import Draw, FlowLoss, Method, Networks
from models.networks.convnet import ConvScore
from models.networks.layers import Network
from models.networks.mlp import MLP, MLPScore
from models.noise import Noise, generators_for
from models.testing import tiny
from models.training.step import init_state, train_step

F64 = torch.float64
SIGMA, DELTA, TAU, C = 0.8, 0.3, 0.7, 0.4
NEAR = 0.6  # starts of the judged moves are drawn in: from too far out every move inwards is accepted
Arrays = dict[str, NDArray[Any]]


def noise(seed: int) -> Noise:
    return Noise(generators_for([seed], "chain"), F64)


def bent(network: Network) -> Network:
    """With larger weights, so that second derivatives matter."""
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(2)
    return network


def convnet() -> Network:
    weights = generators_for([0], "weights")
    return bent(ConvScore(tiny.IMAGES, [4, 8, 8], weights, F64, "grouped"))


def planar() -> Networks:
    weights = generators_for([1], "weights")
    return Networks(bent(MLPScore([2, 16, 16, 1], weights, F64)), bent(MLP([3, 16, 2], weights, F64)))


def method(name: str, shape: tuple[int, ...], **knobs: Any) -> Method:
    return tiny.method(name, tiny.data(shape), step_size=DELTA, jko_weight=C, **knobs)


def points(seed: int, *shape: int) -> Tensor:
    return noise(seed).normal(12, *shape)


def named(name: str, arrays: list[Tensor]) -> Arrays:
    """Weights and biases in turn, without the replicate axis."""
    return {f"{name}.{'wb'[k % 2]}{k // 2}": a.detach()[0].numpy().copy() for k, a in enumerate(arrays)}


def parameters(network: Network | None) -> list[Tensor]:
    assert network is not None
    return list(network.parameters())


def drawn(x: Tensor, z: Tensor | None = None) -> Draw:
    return Draw(x, x if z is None else z, x, z, z, None)  # type: ignore[arg-type]


def our_updates() -> tuple[Arrays, Arrays]:
    """Three updates of `jko`: what went in, and the weights that came out."""
    on = tiny.data(tiny.PLANE)
    ours = method("jko", tiny.PLANE, sigma=SIGMA)
    state, flow, seen = init_state(ours, on, [0]), ours.flow, []
    start = named("start", parameters(state.nets.f))

    def spy(m: Method, nets: Networks, draw: Draw, x_data: Tensor, chance: Noise) -> FlowLoss:
        seen.append((draw.x[0].numpy(), x_data[0].numpy()))
        return flow(m, nets, draw, x_data, chance)

    ours.flow = spy
    for _ in range(3):
        train_step(ours, on, state)
    made, data = (np.stack(arrays) for arrays in zip(*seen, strict=True))
    settings = {"lr": ours.hp.lr_f, "beta1": ours.hp.adam_beta1, "beta2": ours.hp.adam_beta2}
    return start | {"made": made, "seen": data, **settings}, named("end", parameters(state.nets.f))


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Arrays, Arrays]:
    """What JAX makes of our weights and points; and the weights after our own three updates."""
    folder = tmp_path_factory.mktemp("twin")
    nets, (given, end) = planar(), our_updates()
    given |= named("conv", parameters(convnet())) | named("f", parameters(nets.f)) | named("g", parameters(nets.g))
    given |= {"x": points(1, *tiny.IMAGES)[0].numpy(), "x_data": points(2, *tiny.IMAGES)[0].numpy(),
              "z": points(3, 3)[0].numpy(), "plane": points(4, 2)[0].numpy(),
              "sigma": SIGMA, "delta": DELTA, "tau": TAU, "c": C, "near": NEAR}
    np.savez(folder / "in.npz", **given)
    script = Path(__file__).with_name("jax_twin.py")
    done = subprocess.run([sys.executable, str(script), str(folder / "in.npz"), str(folder / "out.npz")],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "out.npz")), end


def same(found: Tensor | NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-9, atol=1e-11)


def same_gradients(loss: Tensor, of: Network | None, theirs: Arrays, name: str) -> None:
    ours = named(name, list(torch.autograd.grad(loss.sum(), parameters(of))))
    assert ours and max(abs(a).max() for a in ours.values()) > 1e-3
    for key, array in ours.items():
        same(array, theirs[key])


class Given(Noise):
    """Noise that another program drew, (steps, n, ...), in turn."""

    def __init__(self, draws: NDArray[Any]) -> None:
        super().__init__(generators_for([0], "chain"), F64)
        self.draws = iter(torch.from_numpy(draws))

    def normal(self, *shape: int) -> Tensor:
        return next(self.draws).reshape(1, *shape)


def conv_potential() -> Callable[[Tensor], Tensor]:
    ours, nets = method("jko", tiny.IMAGES, sigma=SIGMA), Networks(convnet(), None)
    return lambda x: ours.potential(nets, x)


# JAX

@pytest.mark.slow
def test_the_convnet_and_its_slope_are_jaxs(twin: tuple[Arrays, Arrays]) -> None:
    x = points(1, *tiny.IMAGES)
    same(convnet()(x)[0].detach(), twin[0]["score"])
    same(potential_and_gradient(conv_potential(), x)[1][0], twin[0]["slope"])


@pytest.mark.slow
def test_langevin_walks_blackjaxs_path_with_its_noise(twin: tuple[Arrays, Arrays]) -> None:
    for steps in (1, 5):
        x, _ = langevin(conv_potential(), points(1, *tiny.IMAGES), steps=steps, step_size=DELTA, temperature=TAU,
                        noise=Given(twin[0]["noises"]))
        same(x[0], twin[0]["path"][steps - 1])


@pytest.mark.slow
def test_would_be_acceptance_is_that_of_blackjaxs_mala(twin: tuple[Arrays, Arrays]) -> None:
    first = twin[0]["mala.noise"]
    _, info = langevin(conv_potential(), NEAR * points(1, *tiny.IMAGES), steps=2, step_size=DELTA, temperature=TAU,
                       noise=Given(np.stack([first, first])))  # of two steps, the first move is judged
    theirs = twin[0]["mala.acceptance"]
    assert 0.01 < theirs.mean() < 0.99
    same(info.acceptance, theirs.mean(keepdims=True))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["synthesis", "both"])
def test_jko_gradients_of_a_convnet_are_jaxs(twin: tuple[Arrays, Arrays], where: str) -> None:
    ours, nets = method("jko", tiny.IMAGES, sigma=SIGMA, penalty_on=where), Networks(convnet(), None)
    flow = ours.energy_loss(nets, drawn(points(1, *tiny.IMAGES)), points(2, *tiny.IMAGES), noise(0))
    same(flow.loss.detach()[0], twin[0][f"{where}.loss"])
    same_gradients(flow.loss, nets.f, twin[0], where)


@pytest.mark.slow
def test_jko_gradients_in_the_hidden_space_are_jaxs(twin: tuple[Arrays, Arrays]) -> None:
    nets, z = planar(), points(3, 3)
    draw = drawn(nets.upsampler(z).detach(), z)
    flow = method("hidden", tiny.PLANE, latent_dim=3).energy_loss(nets, draw, points(4, 2), noise(0))
    same(flow.loss.detach()[0], twin[0]["hidden.loss"])
    same_gradients(flow.loss, nets.f, twin[0], "hidden")


@pytest.mark.slow
@pytest.mark.parametrize(("how", "name"), [("potential", "e11"), ("regression", "e10")])
def test_gradients_of_the_upsampler_are_jaxs(twin: tuple[Arrays, Arrays], how: str, name: str) -> None:
    nets, ours = planar(), method("amortized", tiny.PLANE, upsampler_loss=how, latent_dim=3)
    loss = ours.generator_loss(nets, drawn(points(4, 2), points(3, 3)))
    assert loss is not None
    same_gradients(loss, nets.g, twin[0], name)


@pytest.mark.slow
def test_three_updates_are_optaxs(twin: tuple[Arrays, Arrays]) -> None:
    theirs, ours = twin
    for key in ours:
        if key != max(k for k in ours if ".b" in k):  # f's constant has no gradient but rounding, which Adam magnifies
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-6, atol=1e-9)


# TorchEBM

@pytest.mark.parametrize("tau", [1.0, TAU])
def test_langevin_is_torchebms_at_the_same_generator(tau: float) -> None:
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    potential, x = conv_potential(), points(1, *tiny.IMAGES)

    class Ours(BaseModel):
        def forward(self, x: Tensor) -> Tensor:
            return potential(x[None])[0]

    sampler = LangevinDynamics(Ours(dtype=F64), step_size=DELTA**2 / 2, noise_scale=tau**0.5, dtype=F64)
    theirs = sampler.sample(x=x[0], n_steps=7, generator=generators_for([5], "chain")[0])
    found, _ = langevin(potential, x, steps=7, step_size=DELTA, noise=noise(5), temperature=tau)
    assert theirs.dtype == F64
    same(found[0], theirs.numpy())


# ArviZ

def _draws(kind: str) -> NDArray[Any]:
    rng = np.random.default_rng(3)
    memory = {"antithetic": -0.5, "slow": 0.95}.get(kind, 0.5)
    x = np.zeros((4, 401))
    for t in range(1, x.shape[1]):
        x[:, t] = memory * x[:, t - 1] + rng.standard_normal(4)
    if kind == "apart":
        x[0] += 3
    if kind == "wider":
        x[0] *= 4
    if kind == "ties":
        x = np.round(x)
    return x[:1, :60] if kind == "one short" else np.exp(x) if kind == "skewed" else x


@pytest.mark.parametrize("kind", ["plain", "antithetic", "slow", "apart", "wider", "ties", "skewed", "one short"])
def test_rhat_and_bulk_ess_are_arvizs(kind: str) -> None:
    from arviz_stats.base import array_stats

    draws = _draws(kind)
    if len(draws) > 1:  # ArviZ wants two chains
        assert rhat(draws) == pytest.approx(float(array_stats.rhat(draws, chain_axis=0, draw_axis=1)), rel=1e-9)
    theirs = float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk"))
    assert ess(draws) == pytest.approx(theirs, rel=1e-9)
