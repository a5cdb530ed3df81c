"""What each part of the union buys: the ladder from GCN to GGCN, and the path from the baseline to the best cell."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.read.study import CELL, COSTS, Study
from analysis.stats.cells import best_cells, common_cell, grid
from analysis.stats.costs import replicate_costs
from analysis.stats.outcomes import poor
from study.schema.plan import PlannedArm

PARTS = ("JKO term", "hidden space", "amortized")  # of GGCN; a method has some of them
_HAS: dict[str, frozenset[str]] = {
    "kl": frozenset(), "jko": frozenset({"JKO term"}), "hidden": frozenset({"hidden space"}),
    "amortized": frozenset({"amortized"}), "ggcn": frozenset({"hidden space", "amortized"})}
# What the parts are with nothing added: an arm that differs in one of these is a control, a question of its own.
PLAIN: dict[str, Any] = {
    "jko_weight": 0.5, "beta": None, "penalty_on": "synthesis", "penalty_of": "U", "negatives_drift": 0,
    "data_noise": 0.0, "drift_clip": None, "grad_clip": None, "spectral_norm": False, "energy_l2": 0.0,
    "score_scale": 1.0, "temperature": 1.0, "chain": "persistent", "precision": "fp32"}


def parts(study: Study, arm: str) -> frozenset[str] | None:
    """The parts that an arm's method and flow have; None for a method unknown here."""
    planned = _planned(study, arm)
    has = _HAS.get(planned.method) if planned else None
    if has is None:
        return None
    return has | {"JKO term"} if _knobs(study, arm).get("flow") == "jko" else has


def rungs(study: Study) -> dict[frozenset[str], str]:
    """The arm that stands for each set of parts. No control is one; of several the arm that fixes the fewest knobs of
    its own beyond its method, then the plan's first."""
    found: dict[frozenset[str], str] = {}
    for arm in sorted(study.arms, key=lambda arm: _own_knobs(study, arm)):  # stable: the plan's order decides ties
        own = parts(study, arm)
        knobs = _knobs(study, arm)
        if own is not None and all(knobs.get(k, plain) == plain for k, plain in PLAIN.items()):
            found.setdefault(own, arm)
    return found


def _planned(study: Study, arm: str) -> PlannedArm | None:
    cells = study.cells[study.cells["arm"] == arm]
    return study.plan.arms.get(cells["base_arm"].iloc[0] if len(cells) else arm)


def _knobs(study: Study, arm: str) -> dict[str, Any]:
    """An arm's knobs where its cells agree with the first; those that it fixes where it has no cell."""
    cells, planned = study.cells[study.cells["arm"] == arm], _planned(study, arm)
    return {**(planned.fixed if planned else {}), **(cells["knobs"].iloc[0] if len(cells) else {})}


def _own_knobs(study: Study, arm: str) -> int:
    """How many knobs an arm fixes that the study does not fix alike for all arms, and that are not its flow."""
    every, own = [planned.fixed for planned in study.plan.arms.values()], _planned(study, arm)
    return sum(k != "flow" and any(k not in other or other[k] != v for other in every)
               for k, v in (own.fixed.items() if own else ()))


def ladder(study: Study) -> pd.DataFrame:
    """T2: the arms that differ by parts of the union only, each at its best design cell; one row per arm.

    Columns: arm (of `rungs`), one of PARTS each (bool), step, full_minus (the one part that it lacks of GGCN), cell,
    mean with interval, counts, poor (survivors of poor quality), and mean costs of a survivor. Empty with fewer
    than two such arms.
    """
    chosen = rungs(study)
    best = best_cells(study).set_index("arm")
    order = sorted((p for p, arm in chosen.items() if arm in best.index),
                   key=lambda p: (len(p), [part not in p for part in PARTS]))
    costs = [c for c in COSTS if c in study.finals]
    spent = replicate_costs(study)
    found: list[dict[str, Any]] = []
    before: frozenset[str] = frozenset()
    for own in order:
        row = best.loc[chosen[own]]
        gained = [p for p in PARTS if p in own - before]
        found.append({
            "arm": chosen[own], **{p: p in own for p in PARTS},
            "step": "GCN" if not own else f"+ {' + '.join(gained)}" if own > before and gained else "\N{EN DASH}",
            "full_minus": next(iter(set(PARTS) - own)) if len(set(PARTS) - own) == 1 else "",
            **{k: row[k] for k in (*CELL, "config_hash", "mean", "low", "high", "n", "diverged", "replicates")},
            "poor": poor(study.replicates_of(str(row["config_hash"]))),
            **{k: spent.loc[row["config_hash"], k] for k in costs}})
        before = own
    return pd.DataFrame(found) if len(found) > 1 else pd.DataFrame()


def path(study: Study) -> pd.DataFrame:
    """From the baseline at the common cell to the best design cell, one factor a step, each intermediate cell as it was
    measured: greedy, the factor that helps most first (Biedenkapp et al. 2017, without a surrogate).

    Better is: fewer diverged, then the better mean of survivors. Columns: changed, arm, step_size, mcmc_steps, mean,
    low, high, n, diverged, replicates. A factor whose cell was not run is taken when it can be; the path ends early
    where none can. Empty without a baseline or where it is the best already.
    """
    common, cells = common_cell(study), grid(study)
    cells = cells[cells["n"] > 0]
    ends = best_cells(study)
    base = next((a for a in study.arms if study.baseline_of(a) is None), None)
    if common is None or ends.empty or base is None:
        return pd.DataFrame()
    goal = ends.sort_values(["rate", "mean"], ascending=[True, study.lower_is_better]).iloc[0]
    factors = ["arm", *CELL]
    known = {tuple(c[f] for f in factors): c for c in cells.to_dict("records")}
    at = (base, *common)
    if at not in known:
        return pd.DataFrame()
    taken = [{"changed": "baseline", **known[at]}]
    while left := [k for k in range(3) if at[k] != goal[factors[k]]]:
        able = [(k, nearby) for k in left if (nearby := (*at[:k], goal[factors[k]], *at[k + 1:])) in known]
        if not able:
            break
        k, at = min(able, key=lambda option: _badness(known[option[1]], study.lower_is_better))
        name = ("method", "step size", "MCMC steps")[k]
        taken.append({"changed": f"{name} to {at[k] if k == 0 else format(at[k], 'g')}", **known[at]})
    keep = ["changed", *factors, "mean", "low", "high", "n", "diverged", "replicates"]
    return pd.DataFrame(taken)[keep] if len(taken) > 1 else pd.DataFrame()


def _badness(cell: Any, lower_is_better: bool) -> tuple[float, float]:
    return cell["rate"], cell["mean"] if lower_is_better else -cell["mean"]
