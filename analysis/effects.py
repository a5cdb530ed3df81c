"""What each factor does: levels of the design averaged over the others, and the importance of knobs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from analysis.inference import wilson
from analysis.load import CELL, Study
from analysis.tables import grid
from analysis.wording import DASH, bounds, number, share

TREES, REPEATS, FEWEST = 100, 10, 8  # trees and permutations of `importance`; configurations that an arm needs
MOST = 600  # replicates that it looks at, drawn by a fixed generator


def effects(study: Study) -> pd.DataFrame:
    """T4: the design's factors, each level averaged over the others; a row an arm, factor and level.

    Only levels of factors with several, over the levels of the other factors that all of them ran with (a full
    crossing), so that no level is helped by where it stood. mean: of the cells' means over survivors, cells counting
    alike; diverged: pooled over the cells, with Wilson's interval.
    """
    frame = grid(study)
    frame = frame[frame["replicates"] > 0]
    found = []
    for arm, cells in ((a, frame[frame["arm"] == a]) for a in study.arms):
        for factor, other in (CELL, CELL[::-1]):
            levels = sorted(cells[factor].unique())
            crossed = cells.groupby(other)[factor].nunique()
            full = cells[cells[other].isin(crossed.index[crossed == len(levels)])]
            if len(levels) < 2 or full.empty:
                continue
            for level, own in full.groupby(factor):
                i = wilson(int(own["diverged"].sum()), int(own["replicates"].sum()))
                found.append({"arm": arm, "factor": factor, "level": level, "cells": len(own),
                              "mean": own["mean"].mean(), "survivors": int(own["n"].sum()),
                              "diverged": int(own["diverged"].sum()), "replicates": i.n, "rate_low": i.low,
                              "rate_high": i.high})
    return pd.DataFrame(found)


def effect_words(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """`effects` for a reader."""
    rates = [wilson(int(k), int(n)) for k, n in zip(frame["diverged"], frame["replicates"], strict=True)]
    return pd.DataFrame({
        "arm": frame["arm"], "factor": frame["factor"].map({"step_size": "step size", "mcmc_steps": "MCMC steps"}),
        "level": frame["level"].map("{:g}".format),
        "diverged": [f"{share(int(k), i.n)} {bounds(i)}" for k, i in zip(frame["diverged"], rates, strict=True)],
        f"{study.primary}, survivors": [DASH if np.isnan(m) else f"{number(m)} (n = {n})"
                                        for m, n in zip(frame["mean"], frame["survivors"], strict=True)]})


def importance(study: Study) -> pd.DataFrame:
    """How much of the ranking of an arm's replicates each knob explains; a row an arm and knob that varied.

    Evaluator: permutation importance (Breiman 2001) of a random forest of 100 trees, fitted to the replicates' ranks
    (divergence the worst) of the design and search phases: the drop of R2 when the knob is shuffled within the fitted
    data, 10 times, mean and standard deviation. r2: out of bag. An arm needs 8 configurations and two knobs that vary.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    finals = study.finals[study.finals["phase"].isin(["design", "search"])]
    trials = study.trials.drop_duplicates("config_hash").set_index("config_hash")["settings"]
    found = []
    for arm in study.arms:
        own = finals[finals["arm"] == arm]
        own = own.sample(MOST, random_state=0) if len(own) > MOST else own
        hashes = list(own["config_hash"].unique())
        knobs = pd.DataFrame([json.loads(trials[h]) for h in hashes], index=hashes)
        knobs = knobs[[k for k in knobs if knobs[k].astype(str).nunique() > 1]]
        if len(hashes) < FEWEST or knobs.shape[1] < 2:
            continue
        codes = knobs.apply(lambda c: c if c.dtype.kind in "if" else c.astype(str).astype("category").cat.codes)
        x = codes.loc[own["config_hash"]].fillna(-1).to_numpy(float)
        worst = np.inf if study.lower_is_better else -np.inf
        value = own[study.primary].where(~own["diverged"]).fillna(worst)
        y = value.rank(ascending=study.lower_is_better).to_numpy(float)
        forest = RandomForestRegressor(TREES, oob_score=True, random_state=0, n_jobs=1).fit(x, y)
        drop = permutation_importance(forest, x, y, n_repeats=REPEATS, random_state=0)
        found += [{"arm": arm, "knob": knob, "importance": m, "sd": s, "configurations": len(hashes),
                   "replicates": len(own), "r2": forest.oob_score_}
                  for knob, m, s in zip(knobs, drop.importances_mean, drop.importances_std, strict=True)]
    return pd.DataFrame(found)
