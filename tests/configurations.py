"""Configurations and units of work of which a test cares for a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.schema.unit import Configuration, Evaluation, Unit

EVALUATION = Evaluation(points=3, samples=16, long_run=2, split="search")


def configuration(*, phase: str = "design", arm: str = "", method: str = "kl", data: Mapping[str, Any] | None = None,
                  evaluation: Evaluation = EVALUATION, **knobs: Any) -> Configuration:
    """arm: by default the method's name."""
    return Configuration(phase, arm or method, method, data or {"name": "rings", "size": None}, knobs, evaluation)


def unit(seeds: tuple[int, ...] = (0,), config_hash: str = "abc", **of: Any) -> Unit:
    """of: as of `configuration`."""
    return Unit(configuration(**of), seeds, config_hash)
