"""Quality against cost, cell by cell, and performance profiles over the cells that all arms ran."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.read.study import COSTS, Study
from analysis.stats.cells import grid

RESAMPLES = 2000


def costs(study: Study) -> pd.DataFrame:
    """Rows of `grid` with survivors, beside `replicate_costs`."""
    frame = grid(study)
    return frame[frame["n"] > 0].merge(replicate_costs(study).reset_index(), on="config_hash")


def replicate_costs(study: Study) -> pd.DataFrame:
    """By config_hash: the mean cost of one survivor, in each of COSTS that was recorded.

    Of survivors, as quality is: a replicate that diverged stopped early and would make its configuration look cheap.
    What was spent on all of them is `budget`'s.
    """
    known = [c for c in COSTS if c in study.finals]
    return study.finals[~study.finals["diverged"]].groupby("config_hash")[known].mean()


def profile(frame: pd.DataFrame, measure: str, lower_is_better: bool) -> pd.DataFrame:
    """Performance profiles (Dolan and More 2002; as in Agarwal et al. 2021): one row per arm and threshold.

    share: of an arm's replicates that are at least as good as the threshold; a diverged one never is. low, high:
    pointwise 95 % percentile bootstrap of seeds, each drawn with all of its cells: cells share their seeds, so that
    replicates are no independent draws. frame: replicates of cells that all of its arms ran. thresholds: 100 values
    between the best and the worst survivor of all arms.
    """
    alive = frame.loc[~frame["diverged"], measure].dropna()
    if alive.empty:
        return pd.DataFrame()
    best, worst = (alive.min(), alive.max()) if lower_is_better else (alive.max(), alive.min())
    log = alive.min() > 0 and alive.max() > 8 * alive.min()
    at = (np.geomspace if log else np.linspace)(best, worst, 100)
    found = []
    for arm, own in frame.groupby("arm", sort=False):
        value = own[measure].where(~own["diverged"]).fillna(np.inf if lower_is_better else -np.inf).to_numpy()[:, None]
        within = pd.DataFrame(value <= at if lower_is_better else value >= at).groupby(own["seed"].to_numpy())
        hits, ran = within.sum().to_numpy(float), within.size().to_numpy(float)  # a seed a row: (S, 100) and (S,)
        times = np.random.default_rng(0).multinomial(len(ran), np.full(len(ran), 1 / len(ran)), size=RESAMPLES)
        low, high = np.quantile(times @ hits / (times @ ran)[:, None], [0.025, 0.975], axis=0)
        found.append(pd.DataFrame({"arm": arm, "threshold": at, "share": hits.sum(0) / ran.sum(), "low": low,
                                   "high": high, "seeds": len(ran), "replicates": len(own)}))
    return pd.concat(found, ignore_index=True)
