"""Arms against their baseline, one declared cell an arm: the family of tests that the report rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.read.study import CELL, Study
from analysis.stats.cells import common_cell, grid, in_plan_order, rates
from analysis.stats.inference import RankComparison, compare_by_ranks, enough_for_significance, holm

ALPHA = 0.05


def compared_cells(study: Study) -> pd.DataFrame:
    """The design cell that stands for each arm: rows of `grid`, in the plan's order; arms that have not run it lack.

    Chosen from the plan alone: the common cell; where an arm has no such cell its own that is nearest in step size (by
    ratio), then the one with the most MCMC steps. What became of a cell moves no arm to another one.
    """
    common, frame = common_cell(study), grid(study)
    if common is None:
        return frame.iloc[:0]
    frame = frame.assign(
        here=(frame["step_size"] == common[0]) & (frame["mcmc_steps"] == common[1]),
        far=np.abs(np.log(frame["step_size"] / common[0])).round(9))
    ranked = frame.sort_values(["here", "far", "mcmc_steps"], ascending=[False, True, False], kind="stable")
    chosen = in_plan_order(study, ranked.drop_duplicates("arm").drop(columns=["here", "far"]))
    return chosen[chosen["replicates"] > 0].reset_index(drop=True)


def comparisons(study: Study, others: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Each arm against its baseline at their declared cells, paired by seed; one row per arm, empty without a pair.

    `paired_tests` says what a row holds; the cells, the baseline's cells and counts stand beside it. others: arm ->
    with whom it is compared instead, a family of their own.
    """
    cells = compared_cells(study).set_index("arm")
    values = {str(arm): values_of(study, cell["config_hash"]) for arm, cell in cells.iterrows()}
    wanted = {arm: study.baseline_of(arm) for arm in values} if others is None else others
    pairs = {arm: of for arm, of in wanted.items() if arm in values and of is not None and of in values}
    found = paired_tests(values, pairs, family=len(study.family if others is None else others),
                         lower_is_better=study.lower_is_better)
    return _with_cells(found, cells)


def gaps(study: Study, cells: pd.DataFrame) -> list[float]:
    """Of each of these rows of `grid` the mean difference to its baseline at the same step size and MCMC steps, over
    the seeds on which both survived; NaN where there is none."""
    known = dict(zip(zip(cells["arm"], *(cells[k] for k in CELL), strict=True), cells["config_hash"], strict=True))
    base = [known.get((study.baseline_of(c["arm"]), *(c[k] for k in CELL))) for c in cells.to_dict("records")]
    return [math.nan if other is None else float((values_of(study, own) - values_of(study, other)).mean())
            for own, other in zip(cells["config_hash"], base, strict=True)]


def _with_cells(found: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Rows of `paired_tests` with cell and counts of the arm and of its baseline. cells: indexed by the arms' names."""
    if found.empty:
        return found
    counts = cells[[*CELL, "diverged", "replicates"]]
    own, base = (counts.loc[found[who]].reset_index(drop=True) for who in ("arm", "baseline"))
    return pd.concat([found[["arm", "baseline"]], own, base.add_suffix("_baseline"),
                      found.drop(columns=["arm", "baseline"])], axis=1)


def confirmed_cells(study: Study) -> pd.DataFrame:
    """The configurations of the confirm phase (rows of `rates`) in the plan's order of arms; `name`: the arm, with the
    cell where several of its configurations were confirmed. `of`: the arm whose settings it has, where it is another,
    else ""."""
    frame = in_plan_order(study, rates(study.finals[study.finals["phase"] == "confirm"]))
    giver = dict(zip(study.exchanged["config_hash"], study.exchanged["giver"], strict=True))
    of = pd.Series([giver.get(h, "") for h in frame["config_hash"]], frame.index, dtype=object)
    whose = frame["arm"] + of.map(lambda arm: f" at {arm}'s" if arm else "")
    several = frame["arm"].duplicated(keep=False)
    where = [f" ({a:.4g}, {b:g} steps)" for a, b in zip(frame["step_size"], frame["mcmc_steps"], strict=True)]
    name = whose.where(~several, whose + pd.Series(where, dtype=object))
    alike = name.duplicated(keep=False)  # configurations that differ by other knobs
    return frame.assign(name=name.where(~alike, name + " " + frame["config_hash"].str[:6]), of=of)


def confirm_comparisons(study: Study) -> pd.DataFrame:
    """`paired_tests` of the confirmed configurations, by `name` of `confirmed_cells`, against the baseline's.

    Which were confirmed was decided on other seeds, so the tests are as good as the design's. Of several confirmed
    ones of the baseline its best by mean rank stands for it, which favours the baseline. What has another arm's
    settings takes no part. Holm's family: all that the plan confirms so, but the baseline's.
    """
    cells = confirmed_cells(study).query("of == ''")
    values = {str(c["name"]): values_of(study, c["config_hash"]) for c in cells.to_dict("records")}
    named = dict(zip(cells["name"], cells["arm"], strict=True))
    pairs, own = {}, set()
    for name, arm in named.items():
        same = [n for n, a in named.items() if a == study.baseline_of(arm)]
        if same:
            pairs[str(name)] = _best({n: values[n] for n in same}, study.lower_is_better)
            own |= set(same)
    planned = study.plan.configurations("confirm") - study.plan.exchanged
    found = paired_tests(values, pairs, family=max(planned - len(own), len(pairs)),
                         lower_is_better=study.lower_is_better)
    return _with_cells(found, cells.set_index("name"))


def exchange_comparisons(study: Study) -> pd.DataFrame:
    """`paired_tests` of confirmed configurations with exchanged settings: an arm's own best against the baseline with
    what both search of its settings, and the arm with those of the baseline's best against that. Holm's family: all
    such pairs, trained or not."""
    cells = confirmed_cells(study)
    name = dict(zip(cells["config_hash"], cells["name"], strict=True))
    pairs = [(one, other) for r in study.exchanged.to_dict("records")
             for arm, base, one, other in ((r["arm"], r["giver"], r["config_hash"], r["settings"]),
                                           (r["giver"], r["arm"], r["settings"], r["config_hash"]))
             if study.baseline_of(arm) == base]
    values = {str(c["name"]): values_of(study, c["config_hash"]) for c in cells.to_dict("records")}
    found = paired_tests(values, {name[one]: name[other] for one, other in pairs if one in name and other in name},
                         family=len(pairs), lower_is_better=study.lower_is_better)
    return _with_cells(found, cells.set_index("name"))


def paired_tests(values: Mapping[str, pd.Series], pairs: Mapping[str, str], *, family: int,
                 lower_is_better: bool) -> pd.DataFrame:
    """One row per pair (arm -> baseline) that shares two seeds. values: an arm's by seed, NaN where diverged.

    The test is on ranks with divergence as the worst (`compare_by_ranks`), corrected by Holm over `family`: the number
    of comparisons that the plan declares, finished or not, so that no arm is significant today and not tomorrow because
    another one ended. The difference of means is over pairs in which both survived, and descriptive. decidable: whether
    so many untied pairs could have reached ALPHA in this family. `test` holds the RankComparison.
    """
    found = []
    for arm, base in pairs.items():
        seeds = values[arm].index.intersection(values[base].index).sort_values()
        if len(seeds) < 2:
            continue
        test = _ranked(values[arm][seeds], values[base][seeds], lower_is_better)
        found.append({
            "arm": arm, "baseline": base, "pairs": test.n, "better": test.better, "worse": test.worse,
            "ties": test.ties, "superiority": test.superiority.estimate, "superiority_low": test.superiority.low,
            "superiority_high": test.superiority.high, "both_survived": test.both_survived,
            "difference": test.difference.estimate, "low": test.difference.low, "high": test.difference.high,
            "p": test.p, "p_attainable": test.p_attainable, "test": test})
    frame = pd.DataFrame(found)
    if frame.empty:
        return frame
    return frame.assign(
        p_holm=holm(list(frame["p"]), family), family=max(family, len(frame)),
        decidable=[enough_for_significance(int(n), max(family, len(frame)), ALPHA)
                   for n in frame["pairs"] - frame["ties"]])


class Ranking(NamedTuple):
    """The best arm, then those that cannot be told from it; and those that can. Both empty where no test could tell."""

    strong: list[str]
    apart: list[str]


def not_separable_from_best(study: Study, cells: pd.DataFrame, measure: str, lower_is_better: bool, *,
                            name: str = "arm") -> Ranking:
    """Arms to print in bold (`ranked`). cells: one configuration a value of the column `name`, with `config_hash`."""
    values = {str(c[name]): values_of(study, c["config_hash"], measure) for _, c in cells.iterrows()}
    return ranked(values, lower_is_better)


def ranked(values: Mapping[str, pd.Series], lower_is_better: bool) -> Ranking:
    """The best arm by mean rank over paired seeds, divergence as worst, and which of the others Holm's test against it,
    over all of them, separates from it.

    An arm that lacks seeds which others have (it has not finished) takes no part, and takes part from no other. values:
    as in `paired_tests`.

    The best is found and tested on the same seeds, so that the error is not ALPHA: of k equal arms one or more miss the
    bold in 4 % of studies at k = 3 (7 seeds), 8 % at 6 and 15 % at 13 (10 seeds; simulated, and held by a test). A
    missing bold is therefore no claim: claims rest on `comparisons` alone.
    """
    most = max((len(v) for v in values.values()), default=0)
    wide = pd.concat({arm: v for arm, v in values.items() if len(v) == most}, axis=1, join="inner") if most else (
        pd.DataFrame())
    if wide.shape[1] < 2 or not enough_for_significance(len(wide), wide.shape[1] - 1, ALPHA):
        return Ranking([], [])
    best = _best(dict(wide.items()), lower_is_better)
    others = [str(a) for a in wide.columns if a != best]
    tests = [_ranked(wide[a], wide[best], lower_is_better) for a in others]
    apart = [a for a, p in zip(others, holm([t.p for t in tests]), strict=True) if p <= ALPHA]
    return Ranking([best, *(a for a in others if a not in apart)], apart)


def _best(values: Mapping[Any, pd.Series], lower_is_better: bool) -> str:
    """The best mean rank over the seeds that all have; a diverged one (NaN) ranks last. Of equals the best mean over
    survivors."""
    wide = pd.concat(values, axis=1, join="inner")
    ranks = wide.fillna(np.inf if lower_is_better else -np.inf).rank(axis=1, ascending=lower_is_better).mean()
    means = wide.mean()[np.isclose(ranks, ranks.min())]
    if means.notna().any():
        return str(means.idxmin() if lower_is_better else means.idxmax())
    return str(ranks.idxmin())


def values_of(study: Study, config_hash: str, measure: str | None = None) -> pd.Series:
    """One configuration's replicates by seed; NaN where diverged."""
    measure = measure or study.primary
    own = study.replicates_of(config_hash)
    return own[measure].where(~own["diverged"]).astype(float).set_axis(pd.Index(own["seed"]))


def _ranked(a: pd.Series, b: pd.Series, lower_is_better: bool) -> RankComparison:
    return compare_by_ranks(a.to_numpy(float), b.to_numpy(float), lower_is_better=lower_is_better,
                            rng=np.random.default_rng(0))
