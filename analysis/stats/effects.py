"""What each factor does: levels of the design averaged over the others, and the importance of knobs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.study import CELL, Study
from analysis.stats.cells import ran
from analysis.stats.comparisons import values_of
from analysis.stats.inference import Interval, t_interval
from analysis.stats.outcomes import poor as poor_of

ALL = "all"  # stands for the arm where arms are the levels
TREES, REPEATS, FEWEST = 100, 10, 8  # trees and permutations of `importance`; configurations that an arm needs
FOLDS = 5  # of configurations, for its R2
MOST = 600  # replicates that it looks at, drawn by a fixed generator


def effects(study: Study) -> pd.DataFrame:
    """T4: the design's factors, each level averaged over the others; one row per arm (of the plan), factor and level.

    The factors are those of the plan that an arm's cells vary, and last, over the arms that share cells with the
    baseline, the method: its levels are arms. Only levels of factors with several, over the levels of the other
    factors that all of them ran with (a full crossing), so that no level is helped by where it stood. mean, low, high:
    t interval over the `n` seeds that survived in all of the level's cells, of a seed's mean over these cells: cells of
    one seed are no independent draws. diverged of replicates: summed over the cells; rate: the mean over seeds of the
    share of a seed's cells in which it diverged, rate_low and rate_high its t interval, NaN where all seeds have the
    same share: their spread of 0 says nothing about other seeds. poor: of the survivors, how many are of poor quality
    (NaN where none was judged).
    """
    cells, factors = _factors(study)
    found = []
    for arm in dict.fromkeys(cells["base_arm"]):
        own = cells[cells["base_arm"] == arm]
        for factor in factors:
            found += _levels(study, own, arm, factor, [f for f in factors if f != factor])
    base = cells[cells["base_arm"] == study.plan.baseline].set_index(factors).index
    shared = cells[cells.set_index(factors).index.isin(base)]
    return pd.DataFrame([*found, *_levels(study, shared, ALL, "base_arm", factors)])


def _factors(study: Study) -> tuple[pd.DataFrame, list[str]]:
    """`ran` with one column per factor of the plan, and the names of these columns.

    Of further factors those that some arm's cells vary: what a search alone varies is one setting of an arm here, and
    would keep it from every shared cell.
    """
    own = study.cells.groupby("base_arm")["knobs"]
    extra = [f for f in study.plan.further if any(len({str(k.get(f)) for k in of}) > 1 for _, of in own)]
    knobs = dict(zip(study.cells["config_hash"], study.cells["knobs"], strict=True))
    frame = ran(study)
    return frame.assign(**{f: [_level(knobs[h].get(f)) for h in frame["config_hash"]] for f in extra}), [*CELL, *extra]


def _level(value: Any) -> Any:
    """A level that can be sorted: numbers as they are, the rest as text."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _levels(study: Study, cells: pd.DataFrame, arm: str, factor: str, others: list[str]) -> list[dict[str, Any]]:
    levels = list(dict.fromkeys(cells[factor])) if factor == "base_arm" else sorted(set(cells[factor]), key=_order)
    crossed = cells.groupby(others)[factor].nunique()
    full = cells[cells.set_index(others).index.isin(crossed.index[crossed == len(levels)])]
    if len(levels) < 2 or full.empty:
        return []
    found = []
    for level in levels:
        own = full[full[factor] == level]
        values = pd.concat({h: values_of(study, h) for h in own["config_hash"]}, axis=1).dropna().mean(axis=1)
        runs = study.finals[study.finals["config_hash"].isin(own["config_hash"])]
        i, rate, poor = t_interval(values.to_numpy()), _rate(runs), poor_of(runs)
        found.append({"arm": arm, "factor": "method" if factor == "base_arm" else factor, "level": level,
                      "cells": len(own), "mean": i.estimate, "low": i.low, "high": i.high, "n": i.n,
                      "diverged": int(own["diverged"].sum()), "replicates": int(own["replicates"].sum()),
                      "rate": rate.estimate, "rate_low": rate.low, "rate_high": rate.high,
                      "poor": float("nan") if poor is None else poor})
    return found


def _rate(runs: pd.DataFrame) -> Interval:
    """The mean over seeds of a seed's share of diverged cells. Pooled counts would take cells of one seed for draws."""
    i = t_interval(runs["diverged"].astype(float).groupby(runs["seed"]).mean().to_numpy())
    if not i.high > i.low:
        return Interval(i.estimate, float("nan"), float("nan"), i.n)
    return Interval(i.estimate, max(0.0, i.low), min(1.0, i.high), i.n)


def _order(level: Any) -> tuple[bool, Any]:
    return isinstance(level, str), level


def importance(study: Study) -> pd.DataFrame:
    """How much of the ranking of an arm's replicates each knob explains; one row per arm and knob that it varied.

    Evaluator: permutation importance (Breiman 2001) of a random forest of 100 trees, fitted to the replicates' ranks
    (divergence the worst) of the design and search phases: the drop of R2 when the knob is shuffled within the fitted
    data, 10 times, mean and standard deviation. r2: of predictions for configurations that the forest has not seen
    (five folds, the replicates of a configuration together: out of bag they would tell each other's rank); below 0
    where a constant predicts better. An arm needs 8 configurations and two knobs that vary.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import r2_score
    from sklearn.model_selection import GroupKFold, cross_val_predict

    finals = study.finals[study.finals["phase"].isin(["design", "search"])]
    trials = study.trials.drop_duplicates("config_hash").set_index("config_hash")["settings"]
    found = []
    for arm in study.arms:
        own = finals[finals["arm"] == arm]
        own = own.sample(MOST, random_state=0) if len(own) > MOST else own
        hashes = list(own["config_hash"].unique())
        knobs = pd.DataFrame([json.loads(trials[h]) for h in hashes], index=hashes)
        knobs = knobs[[k for k in study.plan.factors if k in knobs and knobs[k].astype(str).nunique() > 1]]
        if len(hashes) < FEWEST or knobs.shape[1] < 2:
            continue
        codes = knobs.apply(lambda c: c if c.dtype.kind in "if" else c.astype(str).astype("category").cat.codes)
        x = codes.loc[own["config_hash"]].fillna(-1).to_numpy(float)
        worst = np.inf if study.lower_is_better else -np.inf
        value = own[study.primary].where(~own["diverged"]).fillna(worst)
        y = value.rank(ascending=study.lower_is_better).to_numpy(float)
        forest = RandomForestRegressor(TREES, random_state=0, n_jobs=1)
        unseen = cross_val_predict(forest, x, y, groups=own["config_hash"], cv=GroupKFold(FOLDS))
        forest.fit(x, y)
        drop = permutation_importance(forest, x, y, n_repeats=REPEATS, random_state=0)
        found += [{"arm": arm, "knob": knob, "importance": m, "sd": s, "configurations": len(hashes),
                   "replicates": len(own), "r2": r2_score(y, unseen)}
                  for knob, m, s in zip(knobs, drop.importances_mean, drop.importances_std, strict=True)]
    return pd.DataFrame(found)
