"""That the planted faults of tests/mutants still fit the code; and the proofs that only they had asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.langevin import langevin
from models.methods.jko import jko_flow
from models.methods.method import Draw, Method, Networks
from models.methods.upsampling import regression_loss
from models.networks.layers import Network
from models.noise import STREAMS, Noise, generators_for
from models.testing import MethodContract, tiny
from models.training.batches import indices
from tests.mutants.__main__ import outcome
from tests.mutants.planted import MUTANTS, ROOT

F64 = torch.float64


def noise(*seeds: int) -> Noise:
    return Noise(generators_for(seeds, "chain"), F64)


def method(name: str, **knobs: Any) -> Method:
    return tiny.method(name, tiny.data(tiny.PLANE), **knobs)


def at(x: Tensor, **others: Any) -> Draw:
    return Draw(x, x, x, others.get("z_start"), others.get("z"), None)  # type: ignore[arg-type]


class Paraboloid(Network):
    """f(x) = -3 ||x||^2 / 2."""

    def __init__(self) -> None:
        super().__init__([])

    def forward(self, x: Tensor) -> Tensor:
        return -1.5 * x.square().flatten(2).sum(-1)


class Line(nn.Module):
    """g(z) = w z, with one number w."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=F64))

    def forward(self, z: Tensor) -> Tensor:
        return self.w * z


def nets(g: nn.Module | None = None) -> Networks:
    return Networks(Paraboloid(), g)  # type: ignore[arg-type]


# the list

def test_every_planted_fault_still_fits_its_file_and_names_a_test() -> None:
    assert len(MUTANTS) >= 20 and len({m.name for m in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        mutant.check()
        ast.parse((ROOT / "models" / mutant.file).read_text(encoding="utf-8").replace(mutant.old, mutant.new))
        file, *inherited, function = mutant.test.split("[")[0].split("::")
        if inherited:
            assert function in vars(MethodContract), mutant.name
            continue
        assert function in _functions(ROOT / file), mutant.name


@cache
def _functions(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.slow  # imports what all the named tests import
def test_every_named_node_is_collected(request: pytest.FixtureRequest) -> None:
    """By this session, or, of what it was not asked for, by another."""
    nodes = sorted({m.test for m in MUTANTS} - {item.nodeid for item in request.session.items})
    if not nodes:
        return
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *nodes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(line for line in done.stdout.splitlines() if "::" in line) == nodes


def test_only_a_failed_assertion_or_a_numerical_error_is_a_catch() -> None:
    assert outcome(0, "1 passed") == "SURVIVED"
    assert outcome(1, "FAILED tests/test_x.py::test_y[a - b] - AssertionError: no") == "caught"
    assert outcome(1, "FAILED tests/test_x.py::test_y - assert 1 == 2") == "caught"
    assert outcome(1, "FAILED tests/test_x.py::test_y - NameError: name 'z' is not defined") == "BROKEN"
    assert outcome(2, "ERROR tests/test_x.py - SyntaxError") == outcome(4, "not found") == outcome(-1, "") == "BROKEN"


# E3

def test_the_virial_is_one_at_equilibrium_of_any_temperature() -> None:
    for tau in (0.3, 1.0, 2.0):
        x = tau**0.5 * noise(0).normal(50_000, 2)
        _, info = langevin(lambda x: x.square().sum(-1) / 2, x, steps=1, step_size=0.1, noise=noise(1), temperature=tau)
        assert info.virial.item() == pytest.approx(1, rel=0.02)


def test_streams_and_seeds_are_apart() -> None:
    draws = [torch.rand(4, generator=generators_for([seed], stream, index=index)[0]).tolist()
             for seed in (0, 1) for stream in STREAMS for index in (0, 1)]
    assert len({tuple(draw) for draw in draws}) == len(draws) == 4 * len(STREAMS)
    orders = [tuple(indices(seed, update, 16, 48)) for seed in (0, 1) for update in (0, 3)]  # two epochs
    assert len(set(orders)) == 4


# E4, E6

def test_negatives_drift_by_n_noise_free_steps() -> None:
    x = noise(0).normal(8, 2)
    for n in (1, 3):
        moved = method("kl", negatives_drift=n, step_size=0.4, sigma=0.5).drifted(nets(), x)
        torch.testing.assert_close(moved, x * (1 - 0.4**2 / 2 * (4 + 3)) ** n)  # grad U = x / sigma^2 + 3 x


def test_the_penalty_enters_with_plus_and_c_eta() -> None:
    x, x_data = noise(0).normal(8, 2), noise(1).normal(8, 2)
    e4 = 1.5 * ((x_data**2).sum(-1).mean() - (x**2).sum(-1).mean())
    velocity = ((4 + 3) ** 2 * x**2).sum(-1).mean()
    for weight, knobs in ((0.3 * 0.4**2 / 2, {"jko_weight": 0.3}), (0.3, {"beta": 0.3})):
        flow = jko_flow(method("jko", step_size=0.4, sigma=0.5, **knobs), nets(), at(x), x_data, noise(2))
        assert flow.loss.item() == pytest.approx((e4 + weight * velocity).item(), rel=1e-12)
        assert flow.penalty.item() == pytest.approx(velocity.item(), rel=1e-12)


# E10

def test_regression_moves_g_and_holds_where_the_chain_ended() -> None:
    """x_T = 3 w z followed g here: the gradient in w is that of (c - w z)^2 at c = 3 w z, -4 w z^2, not 8 w z^2."""
    g, z = Line(0.5), noise(0).normal(8, 2)
    (gradient,) = torch.autograd.grad(regression_loss(nets(g), z, 3 * g(z)).sum(), g.w)
    assert gradient.item() == pytest.approx(-4 * 0.5 * (z**2).sum(-1).mean().item(), rel=1e-12)


def test_hidden_regression_starts_where_the_chain_started() -> None:
    g, z_start, z = Line(0.5), noise(0).normal(8, 2), noise(1).normal(8, 2)
    loss = method("hidden", upsampler_loss="regression").generator_loss(nets(g), at(g(z), z_start=z_start, z=z))
    assert loss is not None
    assert loss.item() == pytest.approx(0.25 * ((z - z_start) ** 2).sum(-1).mean().item(), rel=1e-12)
