"""How long a study looked: observed limits and survival by the number of updates, since near a limit divergence takes
hundreds to thousands of them and a short run reports it stable."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.read.study import Study
from analysis.stats.inference import wilson
from study.schema.tags import blocks_of

NICE = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # horizons stand at these times a power of ten


def horizons(updates: int) -> list[int]:
    """Round numbers of updates from a hundredth of `updates` up to it, and `updates` itself."""
    tens = [10**k for k in range(int(math.log10(updates)) + 1)]
    round_ones = {round(a * ten) for a in NICE for ten in tens}
    return sorted({u for u in round_ones if updates / 100 <= u < updates} | {updates})


def observed_limit(steps: Sequence[float], diverged: Sequence[int], replicates: Sequence[int]) -> dict[str, float]:
    """Where half of the replicates diverge, from counts at increasing step sizes.

    limit: the geometric mean of the last level below one half and the first that is not, inf where none reaches it and
    the smallest level where all do. low and high bound it: the largest level up to which every Wilson interval (95 %)
    lies below one half, and the smallest from which every one lies above; 0 and inf where there is none.
    """
    level, k, n = np.asarray(steps, float), np.asarray(diverged), np.asarray(replicates)
    over = np.flatnonzero(k >= 0.5 * n)
    limit = math.inf
    if len(over):
        limit = float(math.sqrt(level[over[0] - 1] * level[over[0]]) if over[0] else level[0])
    bounds = [wilson(int(a), int(b)) for a, b in zip(k, n, strict=True)]
    below = [b.high < 0.5 for b in bounds]
    above = [b.low > 0.5 for b in bounds]
    quiet = next((i for i, ok in enumerate(below) if not ok), len(below))
    loud = len(above) - next((i for i, ok in enumerate(reversed(above)) if not ok), len(above))
    return {"limit": limit, "low": float(level[quiet - 1]) if quiet else 0.0,
            "high": float(level[loud]) if loud < len(above) else math.inf}


def limits_by_horizon(study: Study) -> pd.DataFrame:
    """`observed_limit` of each arm and number of MCMC steps, had the study ended after `horizon` updates.

    One row per horizon: arm, mcmc_steps, horizon, limit, low, high, diverged, replicates. None where one step size ran.
    """
    found = []
    finals = study.finals[study.finals["phase"] == "design"]
    knobs = study.cells.set_index("config_hash")["knobs"]
    for (arm, steps), part in finals.groupby(["arm", "mcmc_steps"], sort=False):
        updates = min(int(knobs[key]["updates"]) for key in part["config_hash"].unique())
        if part["step_size"].nunique() < 2:
            continue
        n = part.groupby("step_size").size()
        for horizon in horizons(updates):
            k = (part["diverged"].astype(bool) & (part["diverged_at"] <= horizon)).groupby(part["step_size"]).sum()
            found.append({"arm": arm, "mcmc_steps": steps, "horizon": horizon,
                          **observed_limit(n.index.tolist(), k.tolist(), n.tolist()),
                          "diverged": int(k.sum()), "replicates": int(n.sum())})
    columns = ["arm", "mcmc_steps", "horizon", "limit", "low", "high", "diverged", "replicates"]
    return pd.DataFrame(found, columns=columns)


def search_ends(study: Study) -> pd.DataFrame:
    """Replicates of the search for `survival`: those of finished trials, and of pruned ones, censored at the update of
    the last rung that their trial reported before it was stopped. arm, seed, config_hash, diverged, diverged_at,
    updates. A pruned trial whose last rung is not known is left out.
    """
    search = study.trials[(study.trials["phase"] == "search") & study.trials["complete"]]
    planned = {h: int(json.loads(s).get("updates", 0)) for h, s in
               zip(search["config_hash"], search["settings"], strict=True)}
    ran = study.finals[(study.finals["phase"] == "search") & study.finals["config_hash"].isin(planned)]
    ran = ran.assign(updates=[planned[h] for h in ran["config_hash"]])
    pruned = search[(search["status"] == "pruned") & search["last_rung"].notna()]
    cut = [{"arm": trial["arm"], "seed": seed, "config_hash": trial["config_hash"], "diverged": False,
            "updates": int(trial["last_rung"]), "pruned": True}
           for trial in pruned.to_dict("records") for block in blocks_of(trial["seeds"]) for seed in block]
    columns = ["arm", "seed", "config_hash", "diverged", "diverged_at", "reason", "updates", "pruned"]
    parts = [part for part in (ran.assign(pruned=False), pd.DataFrame(cut)) if len(part)]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns) if parts else pd.DataFrame(columns=columns)


def censored(frame: pd.DataFrame) -> pd.DataFrame:
    """Where replicates that did not diverge leave before the last update: update, alive (of `survival`), how many."""
    curve, end = survival(frame), frame["updates"].max()
    left = frame.loc[~frame["diverged"].astype(bool) & (frame["updates"] < end), "updates"].astype(float)
    count = left.value_counts().sort_index()
    at = np.searchsorted(curve["update"], count.index.to_numpy(float), side="right") - 1
    return pd.DataFrame({"update": count.index.to_numpy(float), "alive": curve["alive"].to_numpy()[at],
                         "replicates": count.to_numpy()})


def masked(frame: pd.DataFrame) -> pd.Series:
    """Which replicates' divergence clipping had hidden: it is found at the last update alone, when it began is not
    known. frame: replicates with `diverged` and, where any reason was recorded, `reason`."""
    said = frame["reason"] if "reason" in frame else pd.Series("", frame.index)
    return frame["diverged"].astype(bool) & (said == "masked")


def survival(frame: pd.DataFrame) -> pd.DataFrame:
    """Kaplan and Meier's estimate of the share that has not diverged, with pointwise 95 % bounds.

    Until a replicate is censored the estimate is a share, and the bounds are Wilson's; later those of log(-log S),
    which do not exist at 0 and 1 (NaN).
    frame: replicates with `diverged`, `diverged_at` and `updates`, at which one that did not diverge is censored, and
    one that is `masked`, since its time is unknown: `masked_ends` counts those.
    One row per time at which a replicate diverged, from update 0 on, and one at the last: update, alive, low, high.
    """
    return _kaplan_meier(frame, (frame["diverged"].astype(bool) & ~masked(frame)).to_numpy(), frame["diverged_at"])


def masked_ends(frame: pd.DataFrame) -> pd.DataFrame:
    """What is left at the last update when the `masked` are counted: one row with update, alive, low, high and how many
    they are; none where there are none. Known whenever they diverged: all of them had by then."""
    hidden = masked(frame)
    if not hidden.any():
        return pd.DataFrame(columns=["update", "alive", "low", "high", "replicates"])
    at = frame["diverged_at"].where(~hidden, frame["updates"])
    return _kaplan_meier(frame, frame["diverged"].astype(bool).to_numpy(), at).iloc[[-1]].assign(
        replicates=int(hidden.sum()))


def _kaplan_meier(frame: pd.DataFrame, gone: np.ndarray, diverged_at: pd.Series) -> pd.DataFrame:
    """`survival` with events of `gone` at `diverged_at`."""
    at, end = diverged_at.to_numpy(float), frame["updates"].to_numpy(float)
    estimate = stats.ecdf(stats.CensoredData(uncensored=at[gone], right=end[~gone])).sf
    when, alive = np.concatenate([[0.0], estimate.quantiles]), np.concatenate([[1.0], estimate.probabilities])
    low, high = np.full(len(when), np.nan), np.full(len(when), np.nan)
    if gone.any():
        with warnings.catch_warnings():  # none at 0
            warnings.simplefilter("ignore", RuntimeWarning)
            bounds: Any = estimate.confidence_interval(method="log-log")
        low[1:], high[1:] = bounds.low.probabilities, bounds.high.probabilities
    out = pd.DataFrame({"update": when, "alive": alive, "low": low, "high": high})
    last = out.iloc[[-1]].assign(update=float(end.max()))
    kept = out[out["alive"].diff().fillna(-1.0) < 0]
    found = pd.concat([kept, last]).drop_duplicates("update", keep="last").reset_index(drop=True)
    cut = end[~gone & (end < end.max())].min(initial=math.inf)
    shares = [wilson(round(alive * len(frame)), len(frame)) for alive in found["alive"]]
    late = found["update"] > cut
    return found.assign(low=found["low"].where(late, [share.low for share in shares]),
                        high=found["high"].where(late, [share.high for share in shares]))
