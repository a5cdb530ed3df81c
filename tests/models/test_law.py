"""E13 against a scalar training loop written out: E3's variance, the losses E4 and E6, descent on lambda."""

import math
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

from models.knobs import knob
from models.methods.amortized import AmortizedKnobs as Amortized
from models.methods.ggcn import GGCNKnobs as GGCN
from models.methods.hidden import HiddenKnobs as Hidden
from models.methods.hparams import HParams
from models.methods.jko import JKOKnobs as JKO
from models.methods.kl import KLKnobs as KL
from models.methods.kl import kl_balance
from models.stability import law
from models.stability.law import Balance

S = 0.3  # local standard deviation of the data in every test


def limit(s: float, hp: HParams) -> float:
    return law.limit(s, hp.balance())


def step_at(kappa: float, s: float, hp: HParams) -> float:
    return law.step_at(kappa, s, hp.balance())


def fixed_point(s: float, hp: HParams) -> float:
    return law.fixed_point(s, hp.balance(), hp.step_size)


def loss(curvature: float, data: float, particles: float, negatives: float, hp: HParams) -> float:
    """E4 or E6 of U = curvature x^2 / 2, with f = x^2 / (2 sigma^2) - U, from the variances of the three point sets."""
    slope_f = 1 - curvature  # sigma = 1
    value = slope_f / 2 * (negatives - data)
    if isinstance(hp, JKO):
        share = (np.arange(64) + 0.5) / 64
        points = {"synthesis": particles, "data": data, "both": (particles + data) / 2,
                  "interpolates": float(np.mean(share**2 * data + (1 - share) ** 2 * particles))}[hp.penalty_on]
        beta = hp.beta if hp.beta is not None else hp.jko_weight * hp.step_size**2 / 2
        value += beta * (slope_f if hp.penalty_of == "f" else -curvature) ** 2 * points
    return value


def train(hp: HParams, *, updates: int = 6_000, rate: float = 0.05) -> float:
    """Run the loop from a flat start. Returns lambda at the end, or nan once kappa >= 2: the chain has broken."""
    eta, data = hp.step_size**2 / 2, S**2 + hp.data_noise**2
    curvature, variance = 0.05 / eta, data
    rate /= eta * max(data, hp.temperature * hp.step_size**2)
    for _ in range(updates):
        for _ in range(5):
            variance = (1 - eta * curvature) ** 2 * variance + hp.temperature * hp.step_size**2
        negatives = variance
        for _ in range(hp.negatives_drift):
            negatives *= (1 - eta * curvature) ** 2
        h = 1e-4 * curvature
        up, down = (loss(curvature + sign * h, data, variance, negatives, hp) for sign in (1, -1))
        change = rate * (up - down) / (2 * h)
        curvature -= change
        if eta * curvature >= 2:
            return math.nan
        if abs(change) < 1e-7 * curvature:
            break
    return curvature


FINITE = [
    KL(), KL(temperature=0.25), KL(data_noise=0.4), KL(data_noise=0.2, temperature=2.0),
    JKO(jko_weight=0.0), JKO(jko_weight=1 / 16), JKO(jko_weight=0.12), JKO(jko_weight=0.125),
    JKO(jko_weight=0.1, temperature=0.5, data_noise=0.2),
    JKO(beta=0.01), JKO(beta=0.02, temperature=0.5), JKO(beta=0.05),
    JKO(jko_weight=0.5, penalty_on="data"), JKO(beta=0.01, penalty_on="data"),
    JKO(jko_weight=0.2, penalty_on="both"), JKO(jko_weight=0.3, penalty_on="interpolates"),
    JKO(jko_weight=0.1, penalty_of="f"), JKO(jko_weight=0.5, penalty_of="f"),
    JKO(jko_weight=1.0, penalty_of="f", penalty_on="data"),
    JKO(beta=0.02, penalty_of="f", penalty_on="data"), JKO(beta=0.02, penalty_of="f", penalty_on="interpolates"),
]
UNLIMITED = [
    KL(negatives_drift=1), KL(negatives_drift=3, temperature=0.5), JKO(jko_weight=0.05, negatives_drift=1),
    JKO(jko_weight=0.13), JKO(jko_weight=0.2), JKO(jko_weight=0.25), JKO(jko_weight=0.5), JKO(jko_weight=1.0),
    JKO(jko_weight=0.3, penalty_on="both"), JKO(jko_weight=0.4, penalty_on="interpolates"),
]


def name(hp: HParams) -> str:
    default = type(hp)()
    return type(hp).__name__ + "".join(f"-{k}={v}" for k, v in vars(hp).items() if v != getattr(default, k))


@pytest.mark.parametrize("hp", FINITE, ids=name)
def test_training_rests_below_the_limit_and_diverges_above(hp: HParams) -> None:
    delta = limit(S, hp)
    below, above = replace(hp, step_size=0.96 * delta), replace(hp, step_size=1.04 * delta)
    assert train(below) == pytest.approx(fixed_point(S, below), rel=1e-3)
    assert math.isnan(train(above))
    assert math.isnan(fixed_point(S, above))


@pytest.mark.parametrize("hp", UNLIMITED, ids=name)
@pytest.mark.parametrize("ratio", [0.5, 3.0, 30.0])
def test_without_a_limit_training_rests_at_every_step(hp: HParams, ratio: float) -> None:
    assert limit(S, hp) == math.inf
    hp = replace(hp, step_size=ratio * S)
    assert train(hp) == pytest.approx(fixed_point(S, hp), rel=1e-3)


def test_kl_closed_forms() -> None:
    assert limit(S, KL()) == pytest.approx(S)
    assert limit(S, KL(temperature=0.25)) == pytest.approx(S / math.sqrt(0.25))
    assert limit(S, KL(data_noise=0.4)) == pytest.approx(math.hypot(S, 0.4))
    assert fixed_point(S, KL(step_size=0.2)) == pytest.approx(2 * (1 - math.sqrt(1 - 0.2**2 / S**2)) / 0.2**2)
    assert step_at(1.0, S, KL()) == pytest.approx(S)  # the feedback changes sign where the fixed point ends


@pytest.mark.parametrize("c", [0.0, 1 / 16, 0.12, 0.12499, 1 / 8])
def test_jko_limit_up_to_one_eighth(c: float) -> None:
    assert limit(S, JKO(jko_weight=c)) == pytest.approx(S * math.sqrt(2 / (1 - 4 * c + math.sqrt(1 - 8 * c))))


@pytest.mark.parametrize("c", [0.05, 0.13, 0.2, 0.24])
def test_jko_below_a_quarter_passes_kappa_one(c: float) -> None:
    assert step_at(1.0, S, JKO(jko_weight=c)) == pytest.approx(S / math.sqrt(1 - 4 * c))


@pytest.mark.parametrize("c", [0.25, 0.5, 1.0])
def test_jko_from_a_quarter_keeps_kappa_below_one_and_blurs(c: float) -> None:
    assert step_at(1.0, S, JKO(jko_weight=c)) == math.inf
    for ratio in (0.3, 1, 10, 1000):
        hp = JKO(jko_weight=c, step_size=ratio * S)
        curvature = fixed_point(S, hp)
        kappa = hp.step_size**2 * curvature / 2
        assert kappa < min(1, 1 / (4 * c))
        assert 1 / (curvature * (1 - kappa / 2)) == pytest.approx(S**2 / (1 - 4 * c * kappa))


def test_penalty_at_data_keeps_a_limit() -> None:
    assert limit(S, JKO(jko_weight=0.5, penalty_on="data")) == pytest.approx(1.81 * S, rel=2e-3)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 4.0])
def test_negatives_drift_kappa(ratio: float) -> None:
    hp = KL(step_size=ratio * S, negatives_drift=1)
    r = 2 / ratio**2
    assert hp.step_size**2 * fixed_point(S, hp) / 2 == pytest.approx(1 - math.sqrt(r / (r + 2)))


def test_an_absolute_weight_moves_the_limit_by_itself() -> None:
    assert limit(S, JKO(beta=0.01)) == pytest.approx(S + 4 * 0.01 / S)  # while 4 beta < s^2
    assert limit(S, JKO(beta=0.1)) == pytest.approx(4 * math.sqrt(0.1))  # there kappa = 2 ends it


def test_penalty_of_the_score_solves_its_equation() -> None:
    hp = JKO(jko_weight=0.5, penalty_of="f", step_size=0.8, sigma=2.0)
    eta, curvature = 0.8**2 / 2, fixed_point(S, hp)
    assert S**2 * curvature * (1 - eta * curvature / 2) == pytest.approx(1 - 4 * 0.5 * eta * (curvature - 1 / 2.0**2))


def test_where_the_law_is_silent() -> None:
    for hp in (Hidden(), GGCN(), KL(energy_l2=0.1), KL(temperature=0.0), KL(spectral_norm=True),
               JKO(spectral_norm=True)):
        assert math.isnan(limit(S, hp)) and math.isnan(fixed_point(S, hp)) and math.isnan(step_at(1.0, S, hp))
    with pytest.raises(ValueError, match="found s = nan"):
        limit(math.nan, KL())


@dataclass(frozen=True, kw_only=True)
class Variant(KL):
    """Has KL's knobs, and says nothing of its balance."""


@dataclass(frozen=True, kw_only=True)
class Stated(KL):
    def balance(self) -> Balance | None:
        return kl_balance(self)


@dataclass(frozen=True, kw_only=True)
class WithFriction(Stated):
    """Its loss has a term more than the one whose balance was stated."""

    friction: float = knob(0.1, "a new knob", low=0)


def test_a_method_has_a_limit_only_where_it_states_its_balance() -> None:
    assert limit(S, Stated()) == limit(S, KL(drift_clip=1.0)) == pytest.approx(S)
    for hp in (Variant(), WithFriction(), WithFriction(friction=0.0)):
        assert math.isnan(limit(S, hp)) and math.isnan(fixed_point(S, hp)) and math.isnan(step_at(1.0, S, hp))


def test_amortized_has_the_last_noise_bound_of_its_image_chain() -> None:
    assert limit(S, Amortized(flow="kl")) == pytest.approx(S)
    assert limit(S, Amortized(flow="jko", jko_weight=0.125)) == pytest.approx(2 * S, rel=1e-6)


def test_bounds_on_moves_leave_the_law_alone() -> None:
    assert limit(S, KL(drift_clip=0.01, grad_clip=0.1)) == limit(S, KL())


def test_spectral_normalisation_bounds_slope_and_curvature_as_the_sheet_says() -> None:
    """Why the law is silent there: f cannot have any lambda. The bounds hold, and not by a factor of ten."""
    x = np.linspace(-20, 20, 400_001)
    sigmoid = 1 / (1 + np.exp(-x))
    slope, bend = sigmoid * (1 + x * (1 - sigmoid)), sigmoid * (1 - sigmoid) * (2 + x * (1 - 2 * sigmoid))
    assert 1.09 < abs(slope).max() < 1.1 and abs(bend).max() == pytest.approx(0.5)
    hidden, scale = 2, 3.0
    most_bent = scale / 2 * sum(1.1 ** (hidden + k - 2) for k in range(1, hidden + 1))
    bent, steep = zip(*(_bent_and_steep(shift, scale) for shift in (-1.5, -0.6, 0.0, 1.0, 2.4)), strict=True)
    assert most_bent == pytest.approx(1.155 * scale)
    assert most_bent / 2 < max(bent) < most_bent
    assert 1.1**hidden * scale / 1.2 < max(steep) < 1.1**hidden * scale


def _bent_and_steep(shift: float, scale: float) -> tuple[float, float]:
    """The largest curvature and slope of a spectrally normalised f along a line. Its weights are of rank one, aligned
    from layer to layer (where slopes multiply fully) and 50 times too large; `shift` is the second layer's bias."""
    import torch

    from models.networks.mlp import MLPScore

    f = MLPScore([2, 16, 16, 1], [torch.Generator().manual_seed(0)], torch.float64, spectral=True, scale=scale)
    with torch.no_grad():
        for k, layer in enumerate(f.layers):
            layer.weight.zero_()[0, 0, 0] = 50
            layer.bias.zero_()[0, 0] = shift if k == 1 else 0
            layer.follow_spectrum()
    line = torch.linspace(-6, 6, 1001, dtype=torch.float64)
    x = torch.stack([line, torch.zeros_like(line)], -1).unsqueeze(0).requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    return bend.abs().max().item(), slope.abs().max().item()


def test_discrete_langevin_variance() -> None:
    """Fact 3: a chain of E3 written out has the variance that the law builds on, and not s^2; where training rests,
    it is the data's."""
    step, curvature, temperature = 0.4, 1 / S**2, 0.7
    rng = np.random.default_rng(0)
    x = np.zeros(200_000)
    for _ in range(30):
        x = x - step**2 / 2 * curvature * x + step * math.sqrt(temperature) * rng.standard_normal(x.size)
    expected = temperature * S**2 / (1 - step**2 / (4 * S**2))
    assert expected > 1.7 * temperature * S**2
    assert x.var() == pytest.approx(expected, rel=0.02)
    rest = fixed_point(S, KL(step_size=0.2, temperature=0.7))
    assert 0.7 / (rest * (1 - 0.2**2 * rest / 4)) == pytest.approx(S**2)


def test_the_law_imports_no_torch() -> None:
    code = "import sys, models.stability.law; sys.exit(bool({'torch', 'numpy', 'scipy', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
