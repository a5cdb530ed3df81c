"""What people would use instead, each as its own documentation writes it: persistent contrastive divergence with
Langevin chains on U(x) = ||x||^2 / 2 - f(x), Adam, one network. Each returns a function that does one update."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.networks.knobs import sides

Update = Callable[[], Any]
POOL = 256


def network(shape: tuple[int, ...], width: int) -> nn.Module:
    """f of our default networks, in torch's own layers."""
    if len(shape) == 1:
        hidden = 8 * width
        return nn.Sequential(nn.Linear(shape[0], hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
                             nn.Linear(hidden, 1), nn.Flatten(0))
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1), nn.SiLU()]
    channels, stages = width, sides(shape[1])
    for _ in stages[1:]:
        layers += [nn.Conv2d(channels, 2 * width, 4, stride=2, padding=1), nn.SiLU()]
        channels = 2 * width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * stages[-1] ** 2, 1), nn.Flatten(0))


class Energy(nn.Module):
    """U."""

    def __init__(self, f: nn.Module) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return x.square().flatten(1).sum(1) / 2 - self.f(x)


def batch(data: Tensor, size: int) -> Tensor:
    return data[torch.randint(len(data), (size,))]


def plain_loop(f: nn.Module, data: Tensor, size: int, steps: int, delta: float, lr: float = 1e-3,
               pool: Tensor | None = None) -> Update:
    """The loop that a paper's code has."""
    energy, adam = Energy(f), torch.optim.Adam(f.parameters(), lr)
    pool = torch.randn(POOL, *data.shape[1:]) if pool is None else pool

    def update() -> None:
        turn = torch.randint(len(pool), (size,))
        x = pool[turn]
        for _ in range(steps):
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(energy(x).sum(), x)
            x = x - delta**2 / 2 * gradient + delta * torch.randn_like(x)
        x = x.detach()
        pool[turn] = x
        loss = energy(batch(data, size)).mean() - energy(x).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()

    return update


def torchebm(f: nn.Module, data: Tensor, size: int, steps: int, delta: float) -> Update:
    """torchebm: ContrastiveDivergence over LangevinDynamics."""
    from torchebm.core import BaseModel
    from torchebm.losses import ContrastiveDivergence
    from torchebm.samplers import LangevinDynamics

    class Model(Energy, BaseModel):  # type: ignore[misc]
        pass

    model = Model(f)
    sampler = LangevinDynamics(model=model, step_size=delta**2 / 2, noise_scale=1.0)
    loss_of = ContrastiveDivergence(model=model, sampler=sampler, k_steps=steps, persistent=True, buffer_size=POOL,
                                    init_steps=0, energy_reg_weight=0.0)
    adam = torch.optim.Adam(f.parameters(), 1e-3)

    def update() -> None:
        adam.zero_grad()
        loss, _ = loss_of(batch(data, size))
        loss.backward()
        adam.step()

    return update


def ebmkit(f: nn.Module, data: Tensor, size: int, steps: int, delta: float) -> Update:
    """ebmkit: ContrastiveDivergence with a ReplayBuffer."""
    from ebm.buffer import ReplayBuffer
    from ebm.losses.cd import ContrastiveDivergence
    from ebm.samplers.langevin import LangevinDynamics

    energy = Energy(f)
    loss_of = ContrastiveDivergence(LangevinDynamics(delta**2 / 2, steps), ReplayBuffer(POOL, tuple(data.shape[1:])))
    adam = torch.optim.Adam(f.parameters(), 1e-3)

    def update() -> None:
        found = loss_of(energy, batch(data, size))
        adam.zero_grad()
        found.loss.backward()
        adam.step()

    return update


def peers() -> dict[str, Callable[..., Update]]:
    """Those that are installed, by name."""
    found = {"torchebm": (torchebm, "torchebm"), "ebmkit": (ebmkit, "ebm"), "plain loop": (plain_loop, "torch")}
    return {name: make for name, (make, module) in found.items() if importlib.util.find_spec(module)}
