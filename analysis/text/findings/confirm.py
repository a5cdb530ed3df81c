"""The confirm phase: what ranks best, what cannot be told from it, and what is better than the baseline."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.read.study import Study
from analysis.stats.cells import summaries
from analysis.stats.comparisons import ALPHA, confirm_comparisons, confirmed_cells, not_separable_from_best
from analysis.stats.inference import Interval
from analysis.text.findings.finding import ON_THE_SAME_SEEDS, Finding, at, named
from analysis.text.formatting import count, interval, p_value, share


def confirmed(study: Study) -> list[Finding]:
    """The best of the confirm phase with all that ranks cannot tell from it, and the tests against the baseline."""
    cells = confirmed_cells(study)
    if cells.empty:
        return []
    if (cells["diverged"] == cells["replicates"]).all():
        return [Finding("confirm", "Every confirmed configuration diverged on every fresh seed.")]
    strong, apart = not_separable_from_best(study, cells, study.primary, study.lower_is_better, name="name")
    means = summaries(study.finals[study.finals["phase"] == "confirm"], [study.primary])
    means = means.merge(cells[["config_hash", "name"]], on="config_hash")
    if strong:
        best = means[means["name"] == strong[0]].iloc[0]
        rest = (f"; by ranks, {named(strong[1:])} cannot be told from it" if len(strong) > 1 else "") + (
            f"; {named(apart)} {'ranks' if len(apart) == 1 else 'rank'} worse" if apart else "") + (
            f" (Holm, {ALPHA}; {ON_THE_SAME_SEEDS})" if len(cells) > 1 else "")
        how = "ranks best"
    else:
        order = means[means["n"] > 0].sort_values(["rate", "mean"], ascending=[True, study.lower_is_better])
        best, how = order.iloc[0], "has the fewest diverged and then the best mean"
        rest = "; no test over so few seeds could tell it from others" if len(cells) > 1 else ""
    value = interval(Interval.of(best))
    said = (f"On fresh seeds and held-out samples, of {count(len(cells), 'confirmed configuration')} {best['name']} "
            f"{how} (at {at(best)}: {study.primary} {value}, n = {best['n']}, "
            f"{share(best['diverged'], best['replicates'])} diverged){rest}.")
    return [Finding("confirm", said), *_against_baseline(confirm_comparisons(study))]


def _against_baseline(tests: pd.DataFrame) -> list[Finding]:
    """One sentence per baseline: who is significantly better, who worse, and whom nothing tells from it."""
    out = []
    for base, rows in tests.groupby("baseline", sort=False) if len(tests) else []:
        family = count(int(rows["family"].iloc[0]), "comparison")
        if not rows["decidable"].any():
            out.append(Finding("confirm", f"Against {base} no p of so few untied pairs could have reached {ALPHA} "
                                          f"among {family}."))
            continue
        clear = rows["p_holm"] <= ALPHA
        ahead = rows["better"] + rows["ties"] / 2 > rows["pairs"] / 2
        parts = [f"{len(some)} of {len(rows)} rank significantly {word}: {_with_p(some)}"
                 for word, some in (("better", rows[clear & ahead]), ("worse", rows[clear & ~ahead])) if len(some)]
        if (~clear).any():
            none = "not significantly different" if parts else "none is significantly different"
            parts.append(f"{none}: {_with_p(rows[~clear])}")
        out.append(Finding("confirm", f"There, paired by seed against {base} ({_pairs(rows)}, p after Holm over "
                                      f"{family}): {'; '.join(parts)}."))
    return out


def _with_p(rows: pd.DataFrame) -> str:
    """`a and b (p = 0.035), c (p = 0.041)`, the smallest first."""
    grouped: dict[str, list[str]] = {}
    for row in rows.sort_values("p_holm", kind="stable").to_dict("records"):
        grouped.setdefault(p_value(row["p_holm"]), []).append(row["arm"])
    return ", ".join(f"{named(arms)} ({p})" for p, arms in grouped.items())


def _pairs(rows: Any) -> str:
    low, high = int(rows["pairs"].min()), int(rows["pairs"].max())
    return count(high, "pair") if low == high else f"{low} to {high} pairs"
