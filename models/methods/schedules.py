"""How learning rates and other knobs change over a training. Imports no torch."""

from __future__ import annotations

import math
from typing import Any

STEPS = ((0.75, 0.01), (0.5, 0.1))  # of `step`: from this share of the updates on, the factor


def rate(hp: Any, update: int) -> float:
    """By what an update (its number, from 1) multiplies lr_f and lr_g: up to 1 over `warmup` updates, then as `decay`
    says. Updates in which f waits have their rates whole and do not count."""
    waits = getattr(hp, "pretrain", 0)
    if update <= waits:
        return 1.0
    update -= waits
    done = (update - 1) / (hp.updates - waits)
    decayed = {"none": 1.0, "cosine": (1 + math.cos(math.pi * done)) / 2,
               "step": next((factor for share, factor in STEPS if done >= share), 1.0)}[hp.decay]
    return decayed * min(1.0, update / hp.warmup) if hp.warmup else decayed


def scheduled(begin: float, end: float, done: float) -> float:
    """From `begin` to `end` by equal factors; done: the share of the way, 0 to 1."""
    return float(begin * (end / begin) ** done)
