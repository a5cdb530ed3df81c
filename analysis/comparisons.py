"""Arms against their baseline, one declared cell an arm: the family of tests that the report rests on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.inference import compare_by_ranks, enough_for_significance, holm
from analysis.load import CELL, Study
from analysis.tables import common_cell, grid

ALPHA = 0.05


def compared_cells(study: Study) -> pd.DataFrame:
    """The design cell that stands for each arm, chosen without a look at quality: rows of `grid`, in the plan's order.

    The common cell. An arm that did not run there stands with its own cell nearest in step size (by ratio), then with
    the most MCMC steps: one cell if it has no other.
    """
    common, frame = common_cell(study), grid(study)
    if common is None:
        return frame.iloc[:0]
    frame = frame[frame["replicates"] > 0].assign(
        here=lambda f: (f["step_size"] == common[0]) & (f["mcmc_steps"] == common[1]),
        far=lambda f: np.abs(np.log(f["step_size"] / common[0])))
    ranked = frame.sort_values(["here", "far", "mcmc_steps"], ascending=[False, True, False], kind="stable")
    chosen = ranked.drop_duplicates("arm").set_index("arm").drop(columns=["here", "far"])
    return chosen.reindex([a for a in study.arms if a in chosen.index]).reset_index()


def comparisons(study: Study) -> pd.DataFrame:
    """Each arm against its baseline at their declared cells, paired by seed; a row an arm, empty without a pair.

    The test is on ranks with divergence as the worst (`compare_by_ranks`), corrected by Holm over these rows; the
    difference of means is over pairs in which both survived, and descriptive. `test` holds the RankComparison;
    `decidable` says whether this family of this n could have reached ALPHA at all.
    """
    cells = compared_cells(study).set_index("arm")
    values = {arm: _values(study, cell["config_hash"]) for arm, cell in cells.iterrows()}
    found = []
    for arm in cells.index:
        base = study.baseline_of(arm)
        if base is None or base not in values:
            continue
        seeds = values[arm].index.intersection(values[base].index).sort_values()
        if len(seeds) < 2:
            continue
        test = compare_by_ranks(values[arm][seeds].to_numpy(float), values[base][seeds].to_numpy(float),
                                lower_is_better=study.lower_is_better, rng=np.random.default_rng(0))
        found.append({
            "arm": arm, "baseline": base, **{k: cells.loc[arm, k] for k in CELL},
            **{f"{k}_baseline": cells.loc[base, k] for k in CELL},
            "pairs": test.n, "better": test.better, "worse": test.worse, "ties": test.ties,
            "superiority": test.superiority.estimate, "superiority_low": test.superiority.low,
            "superiority_high": test.superiority.high, "p": test.p, "p_attainable": test.p_attainable,
            "both_survived": test.both_survived, "difference": test.difference.estimate, "low": test.difference.low,
            "high": test.difference.high, "test": test})
    frame = pd.DataFrame(found)
    if frame.empty:
        return frame
    return frame.assign(p_holm=holm(list(frame["p"])),
                        decidable=[enough_for_significance(int(n), len(frame), ALPHA) for n in frame["pairs"]])


def not_separable_from_best(study: Study, cells: pd.DataFrame, measure: str, lower_is_better: bool) -> set[str]:
    """Arms to print in bold: the best by mean rank over paired seeds with divergence as worst, and all that Holm's
    test against it does not separate. Empty where no test could separate any.

    cells: one configuration an arm, with `arm` and `config_hash`.
    """
    if len(cells) < 2:
        return set()
    wide = pd.concat({c["arm"]: _values(study, c["config_hash"], measure) for _, c in cells.iterrows()}, axis=1,
                     join="inner")  # a seed that an arm has not run yet is not one that it lost
    if not enough_for_significance(len(wide), wide.shape[1] - 1, ALPHA):
        return set()
    worst = np.inf if lower_is_better else -np.inf
    ranks = wide.fillna(worst).rank(axis=1, ascending=lower_is_better).mean()
    best = str(ranks.idxmin())
    others = [a for a in wide.columns if a != best]
    tests = [compare_by_ranks(wide[a].to_numpy(float), wide[best].to_numpy(float), lower_is_better=lower_is_better,
                              rng=np.random.default_rng(0)) for a in others]
    return {best, *(a for a, p in zip(others, holm([t.p for t in tests]), strict=True) if p > ALPHA)}


def _values(study: Study, config_hash: str, measure: str | None = None) -> pd.Series:
    """One configuration's replicates by seed; NaN where diverged."""
    measure = measure or study.primary
    own = study.finals[study.finals["config_hash"] == config_hash].set_index("seed")
    return own[measure].where(~own["diverged"]).astype(float)
