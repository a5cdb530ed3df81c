"""E13 applied to a study: the step size above which each arm should diverge, from its data's local spread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.data.data import Data, some
from models.methods.hparams import HParams
from models.stability.law import limit, step_at
from models.stability.local_sd import Spread, local_spread
from study.schema.columns import DELTA_MED, DELTA_MIN, LIMITS
from study.schema.plan import Limit, LocalSpread, Plan
from study.schema.unit import Configuration
from study.spec import Arm, StudySpec
from study.spec.knobs import METHODS, hparams
from study.spec.model import cells_of


class LawError(ValueError):
    """The balance of a method from outside failed; one sentence."""


Z = 1.96  # two-sided 95 %
MAX_LIMITS = 200  # predictions for an arm in the plan: each costs about 8 ms, and nobody reads more


def spread_of(data: Data, seed: int) -> Spread:
    """The local spread of the train split (on disk: of `some` of its images); in the plane, the density's own."""
    if data.density is not None:
        s = float(data.density.local_sd)
        return Spread(s, s, 0.0, 0.0, np.full(2, s), 0, 0)
    points = some(data.train)
    return local_spread(points.reshape(len(points), -1), np.random.default_rng(seed))


def limits(spread: LocalSpread, hp: HParams) -> dict[str, float | None]:
    """delta_min and delta_med with 95 % bounds of their sampling error, which leave out the estimator's bias
    (docs/metrics.md); delta_kappa1, the step size at which the law's kappa* passes 1 in the median direction, where
    KL's feedback changes sign. None: no finite one. Empty where the law is silent.
    """
    found: dict[str, float | None] = {}
    balance = hp.balance()
    for names, s, error in ((DELTA_MIN, spread.s_min, spread.se_min), (DELTA_MED, spread.s_med, spread.se_med)):
        for name, at in zip(names, (s, max(0.0, s - Z * error), s + Z * error), strict=True):
            delta = limit(at, balance)
            if math.isnan(delta):
                return {}
            found[name] = _or_none(delta)
    found["delta_kappa1"] = _or_none(step_at(1.0, spread.s_med, balance))
    return found


def _or_none(delta: float) -> float | None:
    return None if math.isinf(delta) else delta


def arm_limits(spec: StudySpec, arm: Arm, spread: LocalSpread) -> list[Limit]:
    """One entry for each combination of the knobs that the law looks at and the arm's design varies, with these knobs;
    of the first MAX_LIMITS combinations.

    Without a design: one entry for what the search fixes, none where it varies such a knob.
    """
    enter = METHODS[arm.method].entering("law")
    if spec.design is not None:
        seen: dict[str, Mapping[str, Any]] = {}
        for cell in cells_of(spec.design.factors[arm.name]):
            row = {k: v for k, v in cell.items() if k in enter}
            seen.setdefault(repr(row), row)
            if len(seen) == MAX_LIMITS:
                break
        rows = list(seen.values())
        shown = rows
    else:
        assert spec.search is not None
        if set(spec.search.free[arm.name]) & enter:
            return []
        rows, shown = [{k: v for k, v in spec.search.fixed[arm.name].items() if k in enter}], [{}]
    try:
        found = [(row, limits(spread, arm.hparams(given))) for row, given in zip(shown, rows, strict=True)]
    except Exception as error:
        if ":" not in arm.method:
            raise
        raise LawError(f"method {arm.method}: its balance failed: {type(error).__name__}: {error}") from error
    return [Limit(knobs=dict(row), **entry) for row, entry in found if entry]


def predicted(plan: Plan, configuration: Configuration) -> dict[str, float | None]:
    """LIMITS of a configuration's own knobs, by the plan's spread; empty where the law is silent."""
    found = limits(plan.spread, hparams(configuration.method, configuration.knobs))
    return {name: found[name] for name in LIMITS} if found else {}
