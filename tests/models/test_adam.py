"""Adam, against torch's own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from models.training.adam import Adam

SHAPES = ((3, 4, 5), (3, 5), (3, 2, 3, 3, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("betas", [(0.5, 0.999), (0.0, 0.9), (0.9, 0.99)])
@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_it_is_torchs_adam_bit_for_bit(dtype: torch.dtype, betas: tuple[float, float], decay: float) -> None:
    torch.manual_seed(0)
    ours = [torch.randn(shape, dtype=dtype) for shape in SHAPES]
    theirs = [torch.nn.Parameter(p.clone()) for p in ours]
    adam, other = Adam(ours, 2e-3, betas, decay), torch.optim.AdamW(theirs, lr=2e-3, betas=betas, weight_decay=decay)
    for update in range(1, 200):
        gradients = [torch.randn_like(p) * 10.0 ** (update % 7 - 3) for p in ours]
        adam.step(gradients, update, torch.ones(3, dtype=torch.bool))
        for p, gradient in zip(theirs, gradients, strict=True):
            p.grad = gradient
        other.step()
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))


def test_a_frozen_replicate_keeps_parameters_and_moments_and_the_others_never_notice() -> None:
    torch.manual_seed(0)
    one, all_alive = ([torch.ones(3, 4), torch.ones(3, 2, 2)] for _ in range(2))
    adam, other = Adam(one, 0.1, (0.5, 0.9)), Adam(all_alive, 0.1, (0.5, 0.9))
    for update in (1, 2, 3):
        gradients = [torch.randn_like(p) for p in one]
        alive = torch.tensor([True, update < 2, True])
        other.step(gradients, update, torch.ones(3, dtype=torch.bool))
        if update > 1:
            for gradient in gradients:
                gradient[1] = torch.nan
        if update == 2:
            held = [t[1].clone() for t in [*adam.parameters, *adam.first, *adam.second]]
        adam.step(gradients, update, alive)
    assert all(torch.equal(t[1], h) for t, h in zip([*adam.parameters, *adam.first, *adam.second], held, strict=True))
    assert all(torch.equal(p[[0, 2]], q[[0, 2]]) for p, q in zip(one, all_alive, strict=True))


def test_training_the_gauge_and_the_features_do_not_load_torchs_compiler() -> None:
    """It would cost every worker 1.6 CPU seconds and 70 MiB, of which sympy .5."""
    code = ("import sys, torch; from models.stability.divergence import kappa\n"
            "from models.training.step import train_step\n"
            "from tests.models.test_terms import setup; method, on, state = setup('ggcn')\n"
            "train_step(method, on, state)\n"
            "kappa(lambda x: (x**2).sum(-1), torch.zeros(1, 2, 2), 0.1, [torch.Generator()])\n"
            "import numpy; from models.measures.feature_training import Recipe, classify\n"
            "classify(numpy.zeros((4, 1, 4, 4)), numpy.arange(4), 0, Recipe(epochs=1))\n"
            "sys.exit('torch._dynamo' in sys.modules or 'sympy' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
