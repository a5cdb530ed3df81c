"""Every built-in method keeps the contract; and what only some of them have to keep."""

from __future__ import annotations

import pytest
import torch

from models.registry import METHODS
from models.testing import MethodContract, tiny
from models.training.checkpoint import CheckpointError, load_state, save_state
from models.training.step import init_state

for _name in METHODS:
    globals()[f"Test{_name}"] = type(f"Test{_name}", (MethodContract,), {"method": _name})


def test_a_checkpoint_of_something_else_is_refused() -> None:
    on = tiny.data(tiny.PLANE)
    kl, jko = (tiny.method(m, on) for m in ("kl", "hidden"))
    payload = save_state(init_state(kl, on, [0]))
    with pytest.raises(CheckpointError, match="another configuration"):
        load_state(payload, jko, on, [0])
    with pytest.raises(CheckpointError, match="expected \\[1\\]"):
        load_state(payload, kl, on, [1])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_state(payload[:100], kl, on, [0])


@pytest.mark.parametrize("how", ["regression", "potential"])
@pytest.mark.parametrize("name", ["hidden", "amortized", "ggcn"])
def test_a_small_step_of_g_does_what_its_equation_says(name: str, how: str) -> None:
    on = tiny.data(tiny.IMAGES)
    method = tiny.method(name, on, upsampler_loss=how, step_size=0.2)
    state = init_state(method, on, [0, 1])
    draw, _ = method.run(state.nets, method.reference(state.noise, 8), state.noise, 3)
    z = draw.z_start if (name, how) == ("hidden", "regression") else draw.z
    assert z is not None

    def distance_and_score() -> tuple[torch.Tensor, torch.Tensor]:  # written out again, from E10 and E11
        made = state.nets.upsampler(z)
        return ((draw.x - made) ** 2).sum((2, 3, 4)).mean(1).detach(), state.nets.f(made).mean(1).detach()

    before = distance_and_score()
    loss = method.generator_loss(state.nets, draw)
    assert loss is not None
    gradients = torch.autograd.grad(loss.sum(), list(state.nets.upsampler.parameters()))
    with torch.no_grad():
        for p, gradient in zip(state.nets.upsampler.parameters(), gradients, strict=True):
            p -= 1e-4 * gradient
    after = distance_and_score()
    if how == "regression":
        assert (after[0] < before[0]).all()  # E10: g moves towards x_T
    else:
        assert (after[1] > before[1]).all()  # E11: E f(g(z)) rises
