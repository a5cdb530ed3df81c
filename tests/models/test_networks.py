"""g speaks the data's units."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from models.training.step import init_state, train_step
from tests.models import tiny

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
