"""The knobs that built-in networks state of their own, and the channels they lead to. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from models.knobs import Knobs, knob


@dataclass(frozen=True, kw_only=True)
class ConvNetKnobs(Knobs):
    """Of `convnet`."""

    widths: str | None = knob(None, "channels of f's stages, each of half the pixels of the one before; null: w, 2w, "
                              "2w, ... of `width`, down to 2 or 3 pixels", like="64-128-256")
    outputs: int = knob(1, "f is the sum of so many outputs", low=1)

    @classmethod
    def shape_conflicts(cls, given: Mapping[str, Any], shape: Sequence[int]) -> list[tuple[str, str]]:
        problem = widths_problem(given.get("widths"), shape)
        return super().shape_conflicts(given, shape) + ([("widths", problem)] if problem else [])


@dataclass(frozen=True, kw_only=True)
class ResNetKnobs(ConvNetKnobs):
    """Of `resnet`."""

    blocks: int = knob(1, "residual blocks of each stage", low=1, source="DRL, IGEBM")
    down: Literal["average", "strided"] = knob("average", "how pixels are halved between stages: average pooling, or a "
                                               "4x4 convolution of stride 2", source="ours")


BUILT_IN: Mapping[str, type[Knobs] | None] = {"mlp": None, "convnet": ConvNetKnobs, "resnet": ResNetKnobs}


def sides(side: int) -> list[int]:
    """Spatial sides through the stages, halved down to 2 or 3 pixels: 32 -> [32, 16, 8, 4, 2]."""
    found = [side]
    while found[-1] > 3:
        found.append(found[-1] // 2)
    return found


def like_width(hp: Any) -> float:
    """The `width` of the `convnet` whose calls take about as long as f's, by a few timings at 28 and 32 pixels: the
    first two stages have most of the work, a residual block takes 2.5 times a stage, and times grow as width^1.25."""
    if hp.network not in ("convnet", "resnet"):
        return float(hp.width)
    first, second = (channels(hp.widths) * 2)[:2] if hp.widths else (hp.width, 2 * hp.width)
    return math.sqrt(first * second / 2) * (2.5 * hp.blocks if hp.network == "resnet" else 1) ** 0.8


def channels(widths: str) -> list[int]:
    """Of each stage."""
    return [int(width) for width in widths.split("-")]


def widths_problem(widths: str | None, shape: Sequence[int]) -> str | None:
    """Why images of this shape have no such stages, or None."""
    if widths is None or len(shape) == 1:
        return None
    found, most = len(channels(widths)), sides(shape[1])
    return None if found <= len(most) else (
        f"found {found} stages, expected at most {len(most)}: {shape[1]} pixels are halved to {most[-1]} in them")


def stages(shape: Sequence[int], hp: Any) -> list[int]:
    """Channels of f's stages."""
    return listed(hp.widths, shape) or [hp.width] + [2 * hp.width] * (len(sides(shape[1])) - 1)


def listed(widths: str | None, shape: Sequence[int]) -> list[int]:
    """The channels that are listed; [] for None. Raises ValueError where they are more than images have stages."""
    if problem := widths_problem(widths, shape):
        raise ValueError(f"widths: {problem}")
    return channels(widths) if widths else []
