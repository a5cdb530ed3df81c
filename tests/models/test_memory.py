"""How much memory an update and an evaluation take, measured in processes of their own."""

from __future__ import annotations

from typing import Any

import pytest

from models.methods.method import build
from models.testing import tiny
from models.training.memory import unit_bytes
from tests.models.peak import peak_bytes

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("method", ["jko", "ggcn"])
def test_pieces_of_a_batch_take_a_part_of_its_memory(method: str) -> None:
    whole, pieces = (peak_bytes(method, (3, 32, 32), 2, updates=1, width=16, mcmc_steps=2, micro_batch=size)
                     for size in (None, 8))
    assert whole > 80 * 2**20 and pieces < 0.5 * whole, (whole, pieces)


KERNELS = 64 * 2**20  # bytes that those of a small network use for themselves, and malloc


@pytest.mark.parametrize(("method", "shape", "replicates", "knobs"), [
    ("kl", (3, 32, 32), 3, {"width": 32}), ("jko", (3, 32, 32), 1, {"width": 32, "penalty_on": "both"}),
    ("kl", (1, 32, 32), 2, {"network": "resnet", "width": 32, "spectral_norm": True, "micro_batch": 32}),
    ("ggcn", (3, 64, 64), 1, {"width": 16, "anchor": 1.0, "bank": 256, "batch_size": 32})])
def test_the_planned_bytes_are_those_of_an_update(method: str, shape: tuple[int, ...], replicates: int,
                                                  knobs: dict[str, Any]) -> None:
    """Peaks that were measured lie between the count and half as much again, beside what kernels use."""
    on = tiny.data(shape, 300)
    planned = unit_bytes(build(method, on, **knobs), on, replicates, 2)
    measured = peak_bytes(method, shape, replicates, mcmc_steps=3, **knobs)
    assert planned > 70 * 2**20 and planned < measured < 1.5 * planned + KERNELS, (planned, measured)


def test_many_samples_pass_the_networks_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 at once would take the memory of a batch of 1,000."""
    shape = (3, 64, 64)
    knobs: dict[str, Any] = {"width": 16, "batch_size": 16, "mcmc_steps": 1, "particles": 1000, "ema": 2}
    on = tiny.data(shape, 300)
    one = build("kl", on, **knobs)
    planned, measured = unit_bytes(one, on, 1, 1000), peak_bytes("kl", shape, 1, 1000, **knobs)
    assert unit_bytes(one, on, 1, 2) < planned < measured < 1.5 * planned + KERNELS, (planned, measured)
    monkeypatch.setattr("models.methods.method.MANY", 2**40)
    assert unit_bytes(one, on, 1, 1000) > 1.5 * measured


def test_bytes_grow_with_what_takes_them() -> None:
    on = tiny.data((3, 32, 32))

    def count(replicates: int = 1, **knobs: Any) -> int:
        return unit_bytes(build("kl", on, **{"network": "convnet", **knobs}), on, replicates, 2)

    one = count()
    assert count(3) == pytest.approx(3 * one, rel=0.1) and count(batch_size=128) == pytest.approx(2 * one, rel=0.1)
    assert count(negatives_drift=10**6) == count(negatives_drift=2) < 1.1 * one  # a plan that ends, whatever is asked
    assert count(width=4096) > 2**36 < count(micro_batch=1, batch_size=2**20)
    assert count(mcmc_steps=60) == one == count(updates=5) and count(precision="fp64") > 1.99 * one
    pool = 4096 * 3 * 32**2 * 4  # of which twice as much is held as it is drawn
    assert count(micro_batch=8) < one / 3 and 2 * pool < count(particles=4096) < 2.02 * pool
    few, wide = ({"batch_size": 2, "particles": 2, "widths": f"64-128-{width}"} for width in (128, 256))
    more = 4 * (128 * 128 * 4**2 + 128 * 8**2)  # bytes of further weights: with moments, gradient and what makes it
    assert 4 * more < count(**wide) - count(**few) < 6 * more
