"""Configurations and units of work of which a test cares for a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.schema.plan import Plan
from study.schema.unit import Configuration, Evaluation, Unit

EVALUATION = Evaluation(points=3, samples=16, long_run=2, split="search")


def configuration(*, phase: str = "design", arm: str = "", method: str = "kl", data: Mapping[str, Any] | None = None,
                  evaluation: Evaluation = EVALUATION, **knobs: Any) -> Configuration:
    """arm: by default the method's name."""
    return Configuration(phase, arm or method, method, data or {"name": "rings", "size": None}, knobs, evaluation)


def unit(seeds: tuple[int, ...] = (0,), config_hash: str = "abc", **of: Any) -> Unit:
    """of: as of `configuration`."""
    return Unit(configuration(**of), seeds, config_hash)


def plan(**given: Any) -> Plan:
    """A plan of which a test cares for a part."""
    nothing: dict[str, Any] = {
        "study": "s", "study_version": "v", "question": "", "primary": "kid", "primary_long": "kid_long",
        "data": {"name": "rings", "shape": [2], "content_hash": "abc", "n": {}}, "direction": "minimize",
        "baseline": "kl", "common_cell": None, "factors": [], "arms": {}, "seeds": {}, "floors": {}, "planned": {},
        "spread": {"s_min": 0.1, "s_med": 0.1, "se_min": 0.0, "se_med": 0.0, "n": 0, "k": 0, "coarse": False},
        "extractor": None, "cells": [], "estimate": {"phases": {}, "arms": {}, "equal_budget": {}}}
    return Plan.read(nothing | given)
