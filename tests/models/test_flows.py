"""E5 and E6 against the JKO scheme itself: its step on Gaussians in closed form, and what E6 keeps of it.

The model is N(0, P^-1), the particles' law N(m, V). In the Bures metric the step of time h has

    m1 = B^-1 m,    V1 = B^-1/2 Y B^-1/2,    B = I + hP,    Y = W/2 + hI + (W^2/4 + hW)^1/2,    W = B^-1/2 V B^-1/2,

the solution of A V1 A = V with A = I + h(P - V1^-1): multiplied out, Y - 2hI + h^2 Y^-1 = W.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import models.networks.convnet
import models.networks.mlp
from models.methods.jko import jko_flow, penalty, penalty_weight
from models.methods.kl import kl_flow
from models.methods.method import Draw, Method, Networks
from models.networks.convnet import ConvScore
from models.networks.layers import Network
from models.networks.mlp import MLPScore
from models.noise import Noise, generators_for
from models.testing import tiny

Array = NDArray[np.float64]
F64 = torch.float64
P = np.array([[3.0, 0.8, 0.0], [0.8, 1.0, -0.3], [0.0, -0.3, 0.6]])
M = np.array([1.0, -2.0, 0.5])
V = np.array([[0.5, 0.2, 0.1], [0.2, 2.0, -0.4], [0.1, -0.4, 1.0]])  # does not commute with P
I3 = np.eye(3)


def power(a: Array, p: float) -> Array:
    values, vectors = np.linalg.eigh(a)
    return np.asarray((vectors * values**p) @ vectors.T)


def jko_step(m: Array, v: Array, h: float, p: Array = P) -> tuple[Array, Array]:
    """The closed form above."""
    b = np.eye(len(p)) + h * p
    root = power(b, -0.5)
    w = root @ v @ root
    y = w / 2 + h * np.eye(len(p)) + power(w @ w / 4 + h * w, 0.5)
    return np.asarray(np.linalg.solve(b, m)), np.asarray(root @ y @ root)


def minimised(m: Array, v: Array, h: float) -> tuple[Array, Array]:
    """argmin of KL(N(m1, V1) || N(0, P^-1)) + W2^2 / (2h), knowing nothing but the two distances."""
    p, m0 = torch.tensor(P), torch.tensor(m)
    root = torch.tensor(power(v, 0.5))
    m1, factor = torch.tensor(m, requires_grad=True), torch.tensor(np.linalg.cholesky(v), requires_grad=True)
    optimiser = torch.optim.LBFGS([m1, factor], max_iter=500, tolerance_grad=1e-11, tolerance_change=1e-16,
                                  line_search_fn="strong_wolfe")

    def value() -> Tensor:
        optimiser.zero_grad()
        v1 = factor @ factor.T
        divergence = (torch.trace(p @ v1) + m1 @ p @ m1 - torch.logdet(v1)) / 2
        fidelity = torch.linalg.eigvalsh(root @ v1 @ root).sqrt().sum()
        squared = (m1 - m0).square().sum() + torch.trace(v1) + float(np.trace(v)) - 2 * fidelity
        total = divergence + squared / (2 * h)
        total.backward()
        return total

    optimiser.step(value)
    return m1.detach().numpy(), (factor @ factor.T).detach().numpy()


@pytest.mark.parametrize("h", [0.05, 0.7, 5.0])
def test_the_jko_step_is_the_minimum_of_kl_and_transport(h: float) -> None:
    m1, v1 = minimised(M, V, h)
    mean, covariance = jko_step(M, V, h)
    np.testing.assert_allclose(m1, mean, atol=1e-6)
    np.testing.assert_allclose(v1, covariance, atol=1e-6)
    np.testing.assert_allclose(m1 + h * P @ m1, M, atol=1e-6)
    a = I3 + h * (P - np.linalg.inv(v1))
    np.testing.assert_allclose(a @ v1 @ a, V, atol=1e-5)


@pytest.mark.parametrize("h", [0.01, 0.4, 3.0])
def test_the_step_in_one_dimension(h: float) -> None:
    for curvature, variance in ((2.0, 0.3), (0.25, 1.0), (0.5, 2.0)):  # the last is the model's own
        _, v1 = jko_step(np.zeros(1), np.array([[variance]]), h, np.array([[curvature]]))
        root = (math.sqrt(variance) + math.sqrt(variance + 4 * h * (1 + h * curvature))) / (2 * (1 + h * curvature))
        assert math.sqrt(v1[0, 0]) == pytest.approx(root, rel=1e-12)


@pytest.mark.parametrize("h", [0.1, 1.0, 30.0])
def test_the_scheme_ends_at_the_model_for_every_step(h: float) -> None:
    """Unbiased, where E3 at the same step ends wider by 1 / (1 - h lambda / 2) or nowhere."""
    model = np.linalg.inv(P)
    np.testing.assert_allclose(jko_step(0 * M, model, h)[1], model, rtol=1e-12, atol=1e-14)
    m, v = M, V
    for _ in range(math.ceil(30 / math.log1p(h * 0.4))):  # P's smallest eigenvalue is above .4
        m, v = jko_step(m, v, h)
    np.testing.assert_allclose(v, model, atol=1e-9)
    np.testing.assert_allclose(m, 0, atol=1e-9)


def test_the_scheme_follows_fokker_planck_to_first_order() -> None:
    """d rho = div(rho grad U) + lap rho: V(t) = P^-1 + e^-Pt (V - P^-1) e^-Pt. The error falls as h."""
    values, vectors = np.linalg.eigh(P)
    decay = (vectors * np.exp(-values)) @ vectors.T  # at t = 1
    exact = decay @ M, np.linalg.inv(P) + decay @ (V - np.linalg.inv(P)) @ decay
    steps, errors = 2.0 ** -np.arange(5, 11), []
    for h in steps:
        m, v = M, V
        for _ in range(round(1 / h)):
            m, v = jko_step(m, v, h)
        errors.append((np.linalg.norm(m - exact[0]), np.linalg.norm(v - exact[1])))
    for error in zip(*errors, strict=True):
        assert np.polyfit(np.log(steps), np.log(error), 1)[0] == pytest.approx(1, abs=0.05)
        assert error[-1] < 1e-3  # a scheme of another equation keeps an error


# what the code keeps of it

class Gaussian(Network):
    """f = ||x||^2 / 2 - x'Qx / 2, so that at sigma = 1 the potential is x'Qx / 2, Q learnable."""

    def __init__(self, q: Array) -> None:
        super().__init__([])
        self.q = nn.Parameter(torch.tensor(q))

    def forward(self, x: Tensor) -> Tensor:
        return (x.square().sum(-1) - torch.einsum("rni,ij,rnj->rn", x, self.q, x)) / 2


def cloud(m: Array, v: Array, n: int = 40) -> Tensor:
    """(1, n, 3) points whose mean and second central moment are m and v, exactly."""
    x = np.random.default_rng(0).normal(size=(n, 3))
    x -= x.mean(0)
    return torch.tensor(x @ power(x.T @ x / n, -0.5) @ power(v, 0.5) + m)[None]


def method(name: str, shape: tuple[int, ...] = (3,), **knobs: Any) -> Method:
    return tiny.method(name, tiny.data(shape), **knobs)


def at(x: Tensor) -> Draw:
    return Draw(x, x, x, None, None, None)  # type: ignore[arg-type]


NOISE = Noise(generators_for([0], "chain"), F64)


def test_e6_trains_on_the_moments_that_the_step_would_leave_but_for_its_entropy() -> None:
    """Along E4, -dL/dQ holds half the particles' second moment. E6 at c = 1/2 has that of the JKO step of time eta in
    its place, less 2 eta I, which is the entropy's share (dropped by E5), up to O(eta^2)."""
    steps, differences = 2.0 ** -np.arange(5, 11), []
    for h in steps:
        ours = method("jko", step_size=math.sqrt(2 * h), jko_weight=0.5)
        nets = Networks(Gaussian(P), None)
        flow = jko_flow(ours, nets, at(cloud(M, V)), cloud(0 * M, I3), NOISE)
        (gradient,) = torch.autograd.grad(flow.loss.sum(), list(nets.f.parameters()))
        m1, v1 = jko_step(M, V, h)
        scheme = (I3 - np.outer(m1, m1) - (v1 - 2 * h * I3)) / 2
        differences.append(np.linalg.norm(gradient.numpy() - scheme))
    assert np.polyfit(np.log(steps), np.log(differences), 1)[0] == pytest.approx(2, abs=0.05)
    assert differences[-1] < 1e-3 * np.sqrt(3)  # what the entropy's share would leave


def test_e6_is_e4_under_the_moreau_envelope_of_the_potential() -> None:
    """min_y U(y) + ||y - x||^2 / (2h) is what a step without entropy leaves of U: x'P(I + hP)^-1 x / 2."""
    steps, differences = 2.0 ** -np.arange(5, 11), []
    x, x_data, second = cloud(M, V), cloud(-M, I3), np.outer(M, M)
    for h in steps:
        ours, nets = method("jko", step_size=math.sqrt(2 * h), jko_weight=0.5), Networks(Gaussian(P), None)
        envelope = np.trace(np.linalg.solve(I3 + h * P, P) @ (V + second)) / 2
        data = np.trace(P @ (I3 + second)) / 2
        reference = (np.trace(V) - np.trace(I3)) / 2  # f is ||x||^2 / 2 - U, and E4 the difference of two means of f
        found = jko_flow(ours, nets, at(x), x_data, NOISE).loss.item()
        differences.append(abs(found - (data - envelope + reference)))
    assert np.polyfit(np.log(steps), np.log(differences), 1)[0] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("curvature", [0.7, 3.0])
def test_the_penalty_holds_its_particles_fixed(curvature: float) -> None:
    """Particles of the model, x = z / sqrt(lambda), have E||grad U||^2 = lambda a direction: along lambda its total
    derivative is 1; with x held fixed, as E6 says, it is 2."""
    z = cloud(0 * M, I3)
    f = Gaussian(curvature * I3)
    x = z / f.q[0, 0].sqrt()  # carries a graph, which a chain's particles do not
    for where in ("synthesis", "data", "both"):
        value = penalty(method("jko", penalty_on=where), Networks(f, None), at(x), x, NOISE)
        assert value.item() == pytest.approx(3 * curvature, rel=1e-12)
        (slope,) = torch.autograd.grad(value.sum(), f.q)
        assert torch.diagonal(slope).sum().item() == pytest.approx(2 * 3, rel=1e-12)
    total = torch.autograd.grad((f.q @ x[0].T).square().sum(0).mean(), f.q)[0]
    assert torch.diagonal(total).sum().item() == pytest.approx(3, rel=1e-12)  # what it must not be


@pytest.mark.parametrize("kind", ["relu", "silu"])
@pytest.mark.parametrize("shape", [tiny.PLANE, tiny.IMAGES], ids=["plane", "images"])
def test_a_relu_net_learns_no_bias_from_the_penalty(monkeypatch: pytest.MonkeyPatch, kind: str,
                                                    shape: tuple[int, ...]) -> None:
    """Its gradient in x depends on biases through open and closed units alone: their share of E6 is exactly that of E4,
    while all the weights learn. SiLU's biases do learn."""
    for file in (models.networks.mlp, models.networks.convnet):
        monkeypatch.setattr(file, "silu", getattr(torch.nn.functional, kind))
    weights = generators_for([0, 1], "weights")
    f: Network = (MLPScore([2, 7, 5, 1], weights, F64) if shape == tiny.PLANE else
                  ConvScore(shape, [3, 6, 6], weights, F64, "grouped"))
    noise = Noise(generators_for([0, 1], "chain"), F64)
    x, x_data = noise.normal(6, *shape), noise.normal(6, *shape)
    e4, e6 = ([*torch.autograd.grad(flow(method("jko", shape, beta=0.3), Networks(f, None), at(x), x_data,
                                         noise).loss.sum(), list(f.parameters()))] for flow in (kl_flow, jko_flow))
    for (name, _), of_kl, of_jko in zip(f.named_parameters(), e4, e6, strict=True):
        last = name.startswith(f"stack.{len(f.layers) - 1}.")  # f's constant: no gradient in x for any activation
        held = name.endswith("bias") and (kind == "relu" or last)
        assert torch.equal(of_kl, of_jko) == held, name


def test_the_scales_of_coopnets() -> None:
    """Fact 4: at delta = .002, sigma = .016 a step shrinks a particle by .0078 of itself; c = 1/2 is beta = 1e-6 for
    one step, and 1.5e-5 for the time of 15."""
    ours = method("jko", step_size=0.002, sigma=0.016, temperature=0.0, jko_weight=0.5)
    x = cloud(M, V)
    draw, _ = ours.run(Networks(Gaussian(I3), None), x, NOISE, 1)  # f = 0: the reference alone
    np.testing.assert_allclose(1 - draw.x / x, 0.0078125, rtol=1e-9)
    assert penalty_weight(ours) == pytest.approx(1e-6, rel=1e-12)
    assert penalty_weight(method("jko", step_size=0.002, jko_weight=0.5 * 15)) == pytest.approx(1.5e-5, rel=1e-12)
