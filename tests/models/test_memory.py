"""How much memory an update takes, measured in processes of their own."""

from __future__ import annotations

import pytest

from tests.models.peak import peak_bytes


@pytest.mark.parametrize("method", ["jko", "ggcn"])
def test_pieces_of_a_batch_take_a_part_of_its_memory(method: str) -> None:
    whole, pieces = (peak_bytes(method, (3, 32, 32), 2, width=16, mcmc_steps=2, micro_batch=size)
                     for size in (None, 8))
    assert whole > 80 * 2**20 and pieces < 0.5 * whole, (whole, pieces)
