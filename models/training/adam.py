"""Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), number for number as torch.optim has them, for
replicates of which some are frozen.

Torch's own loads its compiler at the first step: 1.6 CPU seconds and 70 MiB in every worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

EPSILON = 1e-8


def known_all_alive(alive: Tensor) -> bool:
    """Whether all live, where it costs nothing to ask: on a GPU the host would wait for it."""
    return alive.device.type == "cpu" and bool(alive.all())


class Adam:
    """Parameters with a leading R, and their moments."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, betas: tuple[float, float],
                 weight_decay: float = 0.0) -> None:
        self.parameters, self.lr, self.betas, self.weight_decay = list(parameters), lr, betas, weight_decay
        self.first = [torch.zeros_like(p) for p in self.parameters]  # moments of the gradients
        self.second = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], update: int, alive: Tensor, rate: float = 1.0) -> None:
        """One step of the living replicates, (R,) bool. update: its number, from 1; rate: a factor of lr. Frozen ones
        are put back as they were: 0 * NaN would not hold them."""
        held = [] if known_all_alive(alive) else [*self.parameters, *self.first, *self.second]
        before = [t.clone() for t in held]
        beta1, beta2 = self.betas
        if self.weight_decay:
            torch._foreach_mul_(self.parameters, 1 - self.lr * rate * self.weight_decay)
        torch._foreach_lerp_(self.first, list(gradients), 1 - beta1)
        torch._foreach_mul_(self.second, beta2)
        torch._foreach_addcmul_(self.second, list(gradients), list(gradients), 1 - beta2)
        denominator = torch._foreach_sqrt(self.second)
        torch._foreach_div_(denominator, (1 - beta2**update) ** 0.5)
        torch._foreach_add_(denominator, EPSILON)
        torch._foreach_addcdiv_(self.parameters, self.first, denominator, -self.lr * rate / (1 - beta1**update))
        for t, b in zip(held, before, strict=True):
            t.copy_(torch.where(alive.reshape(-1, *[1] * (t.dim() - 1)), t, b))
