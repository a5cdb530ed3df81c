"""Quality against cost, cell by cell, and performance profiles over the cells that all arms ran."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.load import CELL, COSTS, Study
from analysis.tables import grid

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


def shared_cells(study: Study) -> pd.DataFrame:
    """Design replicates of the cells (step size, MCMC steps) that every arm ran; empty where there is none."""
    frame = study.finals[study.finals["phase"] == "design"]
    ran = frame.groupby(CELL)["arm"].nunique()
    every = ran.index[ran == frame["arm"].nunique()]
    return frame[frame.set_index(CELL).index.isin(every)]


def profile(frame: pd.DataFrame, measure: str, lower_is_better: bool) -> pd.DataFrame:
    """Performance profiles (Dolan and More 2002; as in Agarwal et al. 2021): a row an arm and threshold.

    share: of an arm's replicates that are at least as good as the threshold; a diverged one never is. low, high:
    pointwise 95 % percentile bootstrap, replicates drawn within their cell. frame: `shared_cells`; thresholds: 100
    values between the best and the worst survivor of all arms.
    """
    alive = frame.loc[~frame["diverged"], measure].dropna()
    if alive.empty:
        return pd.DataFrame()
    best, worst = (alive.min(), alive.max()) if lower_is_better else (alive.max(), alive.min())
    log = alive.min() > 0 and alive.max() > 8 * alive.min()
    at = (np.geomspace if log else np.linspace)(best, worst, 100)
    found = []
    for arm, own in frame.groupby("arm", sort=False):
        rng = np.random.default_rng(0)
        drawn = np.zeros((RESAMPLES, len(at)))
        hits = np.zeros(len(at))
        for _, cell in own.groupby(CELL):
            value = cell[measure].where(~cell["diverged"]).fillna(np.inf if lower_is_better else -np.inf).to_numpy()
            within = value[:, None] <= at if lower_is_better else value[:, None] >= at
            hits += within.sum(0)
            drawn += within[rng.integers(len(value), size=(RESAMPLES, len(value)))].sum(1)
        low, high = np.quantile(drawn / len(own), [0.025, 0.975], axis=0)
        found.append(pd.DataFrame({"arm": arm, "threshold": at, "share": hits / len(own), "low": low, "high": high,
                                   "replicates": len(own)}))
    return pd.concat(found, ignore_index=True)
