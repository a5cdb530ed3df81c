"""How learning rates change over a training."""

from __future__ import annotations

import math
from typing import Any

STEPS = ((0.75, 0.01), (0.5, 0.1))  # of `step`: from this share of the updates on, the factor


def rate(hp: Any, update: int) -> float:
    """By what an update (its number, from 1) multiplies lr_f and lr_g: up to 1 over `warmup` updates, then as `decay`
    says."""
    done = (update - 1) / hp.updates
    decayed = {"none": 1.0, "cosine": (1 + math.cos(math.pi * done)) / 2,
               "step": next((factor for share, factor in STEPS if done >= share), 1.0)}[hp.decay]
    return decayed * min(1.0, update / hp.warmup) if hp.warmup else decayed
