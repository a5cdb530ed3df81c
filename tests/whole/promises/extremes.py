"""Every knob at both ends of what the spec takes, an arm each: numbers that nobody would choose, in a real launch."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from models.knobs import LARGEST, SMALLEST, expected
from study.spec.knobs import ALL_KNOBS, KNOBS, METHODS

# The largest whole numbers are no training of seconds: what is run in their place.
BEYOND = {"updates": 40, "batch_size": 256, "warmup": 1, "width": 64, "mcmc_steps": 60, "negatives_drift": 60,
          "particles": 512, "latent_dim": 128, "latent_steps": 60, "width_g": 64, "steps_g": 20, "bank": 512,
          "posterior_steps": 60, "pretrain": 1, "micro_batch": 3}
SMALL = {"updates": 2, "batch_size": 4, "width": 1, "mcmc_steps": 1}
ALMOST = 1 - 1e-9  # of a bound that is not reached
CHAINS = 64
WITH: dict[tuple[str, Any], dict[str, Any]] = {  # what an extreme needs beside it
    ("batch_size", 256): {"particles": 256}, ("particles", 2): {"batch_size": 2},
    ("sigma", SMALLEST): {"step_size": SMALLEST}, ("pretrain", 1): {"anchor": 1.0},
    ("bank", 512): {"upsampler_loss": "regression"},
    **{("slow_g", value): {"anchor": 1.0, "pretrain": 1} for value in (0.0, LARGEST)},
    **{("posterior_steps", value): {"anchor": 1.0} for value in (1, 60)},
    **{(knob, value): {"anchor": 1.0} for knob, high in (("posterior_sd", LARGEST), ("posterior_step_size", 2 * ALMOST))
       for value in (SMALLEST, high)}}
PLANE = (2,)


def extremes() -> Iterator[tuple[str, str, Any]]:
    """(method, knob, value): each end of each knob once, of the methods that have the knob in turns; but for what all
    arms have, and for what points in the plane have no use for."""
    for k, knob in enumerate(knob for knob in ALL_KNOBS if knob != "budget"):  # which stands in place of updates
        methods = [method for method in METHODS if knob in KNOBS[method]]
        for j, value in enumerate(ends(methods[0], knob)):
            method = methods[(k + j) % len(methods)]
            is_run = value == SMALL.get(knob, getattr(METHODS[method], knob))  # by all arms
            if not is_run and not METHODS[method].shape_conflicts({knob: value}, PLANE):
                yield method, knob, value


def ends(method: str, knob: str) -> list[Any]:
    """The least and the largest value; none of a knob of words or text."""
    cls = METHODS[method]
    field = next(f for f in fields(cls) if f.name == knob)
    kinds, words, _ = expected(field, typing.get_type_hints(cls))
    if words or bool in kinds or str in kinds:
        return []
    bounds = field.metadata
    whole = float not in kinds
    low = 2 if knob == "particles" else bounds.get("low", SMALLEST)  # a batch has two at least
    high = bounds.get("high", bounds["below"] * ALMOST if "below" in bounds else LARGEST)
    if knob in ("step_size", "step_size_end"):
        high = 1.9  # the spec refuses 2 sigma
    if knob == "ema":
        high = SMALL["updates"] * ALMOST
    return [int(low), BEYOND[knob]] if whole else [float(low), float(high)]


def study() -> dict[str, Any]:
    """All of them as arms, each with chains for its batch."""
    arms = {f"{knob}={value:.12g}": {"method": method, knob: value, **WITH.get((knob, value), {})}
            for method, knob, value in extremes()}
    for arm in arms.values():
        if "particles" in KNOBS[arm["method"]]:
            arm.setdefault("particles", CHAINS)
    return {"study": "extremes", "data": "moons", "arms": arms, "train": SMALL,
            "design": {"replicates": 1}, "evaluation": {"points": 1, "samples": 2, "long_run": 1}}
