"""Where the arms' divergence differs from the baseline's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.read.study import CELL, Study
from analysis.stats.cells import ran
from analysis.stats.comparisons import compared_cells
from analysis.stats.inference import Interval, wilson
from analysis.stats.outcomes import reasons
from analysis.text.findings.finding import Finding, at, named
from analysis.text.formatting import number, share
from analysis.text.outcomes import gone

UNEQUAL = 1.1  # times the fewest updates of an arm, from which their numbers are said


def divergence(study: Study) -> list[Finding]:
    """For each arm the cell where its count differs most from the baseline's; arms with one cell share a sentence."""
    found: dict[tuple[Any, ...], dict[Any, list[pd.Series]]] = {}
    equal: dict[tuple[str, int], list[str]] = {}
    apart: dict[str, list[str]] = {}
    alone: dict[str, list[str]] = {}
    for arm, base, both in _beside_baseline(study):
        if both.empty:
            near = _nearest(study, arm, base)
            if near.empty:
                alone.setdefault(base, []).append(arm)
            else:
                apart.setdefault(_apart(base, near), []).append(arm)
        elif not (both["rate"] - both["rate_base"]).abs().any():
            equal.setdefault((base, len(both)), []).append(arm)
        else:
            cell = _widest(both)
            alike = found.setdefault((base, cell["step_size"], cell["mcmc_steps"]), {})
            alike.setdefault((int(cell["diverged"]), int(cell["replicates"]), cell["why"]), []).append(cell)
    said = [_sentence(key[0], groups) for key, groups in found.items()]
    for (base, n), arms in equal.items():
        where = "the one cell" if n == 1 else f"all {n} cells"
        said.append(f"{named([*arms, base])} diverged equally often in {where} that they share.")
    said += [*(f"{named(arms)} {'shares' if len(arms) == 1 else 'each share'} no cell with {words}"
               for words, arms in apart.items()),
             *(_alone(study, base, arms) for base, arms in alone.items())]
    return [Finding("divergence", text, "design_cells") for text in [*said, *_updates(study)]]


def _updates(study: Study) -> list[str]:
    """That equal cost is no equal training, where it is not and seeds are lost: what f learns, and loses, goes by
    updates."""
    cells = compared_cells(study)
    knobs = dict(zip(study.cells["config_hash"], study.cells["knobs"], strict=True))
    made: dict[int, list[str]] = {}
    for arm, key in zip(cells["arm"], cells["config_hash"], strict=True):
        made.setdefault(int(knobs[key]["updates"]), []).append(arm)
    if not cells["diverged"].any() or max(made) <= UNEQUAL * min(made):
        return []
    parts = [f"{named(arms)} {updates:,}" for updates, arms in sorted(made.items(), reverse=True)]
    return [f"Seeds are lost in updates, of which the declared cells make: {'; '.join(parts)}."]


def widest(study: Study) -> list[pd.Series]:
    """For each arm that shares cells with its baseline (`base`) the cell where the two differ most."""
    return [pd.concat([_widest(both), pd.Series({"base": base})]) for _, base, both in _beside_baseline(study)
            if len(both)]


def widest_cells(study: Study) -> list[tuple[str, float, int]]:
    """(baseline, step size, MCMC steps): where `divergence` finds that an arm differs most from the baseline."""
    return list(dict.fromkeys((str(cell["base"]), float(cell["step_size"]), int(cell["mcmc_steps"]))
                              for cell in widest(study) if cell["rate"] != cell["rate_base"]))


def chance_apart(study: Study) -> tuple[float, int]:
    """How often an arm that diverges as the baseline does would be said to have its interval apart: at most, over all
    common rates, in the cells that they share (taken as independent); and the most cells that an arm shares."""
    cells = max((len(both) for *_, both in _beside_baseline(study)), default=0)
    n = study.plan.replicates("design")
    if not cells or not n:
        return math.nan, cells
    each = [wilson(k, n) for k in range(n + 1)]
    apart = np.array([[are_apart(a, b) for b in each] for a in each], float)
    counts = [stats.binom.pmf(np.arange(n + 1), n, p) for p in np.linspace(0.02, 0.5, 25)]
    return max(1 - (1 - float(pmf @ apart @ pmf)) ** cells for pmf in counts), cells


def _beside_baseline(study: Study) -> list[tuple[str, str, pd.DataFrame]]:
    """Each arm that has run and has a baseline: (arm, baseline, cells that both ran, the baseline's with `_base`)."""
    cells = ran(study)
    runs = dict(list(study.finals.groupby("config_hash")))
    cells = cells.assign(why=[reasons(runs[h]) for h in cells["config_hash"]])
    found = []
    for arm in study.arms:
        own, base = cells[cells["arm"] == arm], study.baseline_of(arm)
        if base is not None and len(own):
            found.append((arm, base, own.merge(cells[cells["arm"] == base], on=CELL, suffixes=("", "_base"))))
    return found


def _widest(both: pd.DataFrame) -> pd.Series:
    """The cell of the largest difference; of equals the smallest step size, then the most MCMC steps."""
    gap = (both["rate"] - both["rate_base"]).abs()
    cell: pd.Series = both.assign(gap=gap).sort_values(["gap", *CELL], ascending=[False, True, False]).iloc[0]
    return cell


def are_apart(a: Interval, b: Interval) -> bool:
    return a.high < b.low or b.high < a.low


def _nearest(study: Study, arm: str, base: str) -> pd.DataFrame:
    """Each cell of an arm beside the baseline's (`_base`) at the same step size, nearest in MCMC steps."""
    cells = ran(study)
    both = cells[cells["arm"] == arm].merge(cells[cells["arm"] == base], on="step_size", suffixes=("", "_base"))
    far = (both["mcmc_steps"] - both["mcmc_steps_base"]).abs()
    return both.assign(far=far).sort_values(["far", "mcmc_steps_base"]).drop_duplicates(["step_size", "mcmc_steps"])


def _alone(study: Study, base: str, arms: list[str]) -> str:
    """Arms that share no step size with the baseline, each at its declared cell: nothing to set beside it."""
    runs = dict(list(study.finals.groupby("config_hash")))
    parts = [f"{cell['arm']} ({cell['step_size']:.4g}, {cell['mcmc_steps']:g} steps) on "
             f"{gone(cell['diverged'], cell['replicates'], reasons(runs[cell['config_hash']]))}"
             for cell in compared_cells(study).to_dict("records") if cell["arm"] in arms]
    return f"Sharing no step size with {base}, at their declared cells diverged {named(parts)}."


def _apart(base: str, both: pd.DataFrame) -> str:
    """What follows of an arm that shares step sizes, and no cell, with the baseline: both summed over `_nearest`."""
    sums = both[["diverged", "replicates", "diverged_base", "replicates_base"]].sum()
    text = (f"{base}; beside the nearest in MCMC steps {share(sums['diverged'], sums['replicates'])} replicates "
            f"diverged, of {base} {share(sums['diverged_base'], sums['replicates_base'])}")
    if (both["rate"] == both["rate_base"]).all():
        return text + ", equally often in every cell."
    cell = _widest(both)
    return (f"{text}, most apart at {cell['step_size']:.4g}, {cell['mcmc_steps']:g} steps "
            f"({share(cell['diverged'], cell['replicates'])}, "
            f"{share(cell['diverged_base'], cell['replicates_base'])}).")


def _sentence(base: str, groups: dict[Any, list[pd.Series]]) -> str:
    cell = next(iter(groups.values()))[0]
    own = int(cell["diverged_base"]), int(cell["replicates_base"])
    said = [(f"{named([c['arm'] for c in same])} on {gone(k, n, why)}{' each' if len(same) > 1 else ''}",
             "apart" if are_apart(wilson(*own), wilson(k, n)) else "overlap") for (k, n, why), same in groups.items()]
    one = len({way for _, way in said}) == 1
    why = f" ({cell['why_base']})" if cell["why_base"] else ""
    rest = [words + ("" if one else f" (intervals {way})") for words, way in said]
    return (f"At {at(cell)}, {base} diverged on {share(*own)} seeds{why}, {', '.join(rest)}"
            + (f" (intervals {said[0][1]})." if one else "."))


def apart_rule(study: Study) -> str:
    """What "intervals apart" is worth in this study, for the rule of the findings."""
    chance, cells = chance_apart(study)
    if math.isnan(chance):
        return ""
    return (f" \u201cIntervals apart\u201d is not adjusted for the choice of the cell: an arm that diverges exactly as "
            f"often as the baseline, in {cells} shared cell{'' if cells == 1 else 's'}, is said to be apart in up to "
            f"{number(100 * chance, 2)} % of studies (cells taken as independent).")
