"""An arm in the terms in which released codes are compared: the noise of a Langevin step, and its drift's gain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from study.spec.model import Arm, StudySpec, fixed_in

FEW = 6  # values, of which more are told by their ends


def in_codes(spec: StudySpec, arm: Arm) -> dict[str, str]:
    """`noise a pixel` and `2a / s^2` of the cells whose values the study fixes, as IN_CODES defines them (E1, E3); a
    schedule by its two ends. {} where the search is free in what they are made of, and there is no design."""
    places = [arm.full(values) for values in fixed_in(spec, arm)]
    free = spec.search.free[arm.name].keys() if spec.search else set()
    if {"step_size", "step_size_end", "temperature", "temperature_end", "score_scale"} & free:
        places = places[:-1]  # without what the search fixes
    if not places:
        return {}
    return {name: said(_ends(place, of) for place in sorted(places, key=of))
            for name, of in (("noise a pixel", _noise), ("2a / s^2", _gain))}


def _noise(knobs: Mapping[str, Any]) -> float:
    return float(knobs["step_size"] * math.sqrt(knobs["temperature"]))


def _gain(knobs: Mapping[str, Any]) -> float:
    return float(knobs["score_scale"] / knobs["temperature"]) if knobs["temperature"] else math.inf


def _ends(knobs: Mapping[str, Any], of: Callable[[Mapping[str, Any]], float]) -> str:
    """A value in the first update, and where a schedule takes it."""
    ends = {name: end for name in ("step_size", "temperature") if (end := knobs[f"{name}_end"]) is not None}
    return " to ".join(dict.fromkeys(said([of(at)]) for at in (knobs, {**knobs, **ends})))


def said(values: Iterable[Any]) -> str:
    """Values in the words of a spec, each once; of many the first and the last."""
    unlike = list(dict.fromkeys(f"{v:.4g}" if isinstance(v, float) else "null" if v is None else str(v).lower()
                                if isinstance(v, bool) else str(v) for v in values))
    return ", ".join(unlike) if len(unlike) <= FEW else f"{unlike[0]} ... {unlike[-1]} ({len(unlike)} values)"
