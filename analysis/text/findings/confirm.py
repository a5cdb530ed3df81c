"""The confirm phase: what ranks best, what cannot be told from it, and what is better than the baseline."""

from __future__ import annotations

import pandas as pd

from analysis.read.study import Study
from analysis.stats.cells import summaries
from analysis.stats.comparisons import (
    ALPHA,
    confirm_comparisons,
    confirmed_cells,
    exchange_comparisons,
    not_separable_from_best,
)
from analysis.text.findings.finding import Finding, named
from analysis.text.formatting import count, number, plus_minus, share


def confirmed(study: Study) -> list[Finding]:
    """The best of the confirm phase with all that ranks cannot tell from it, and the tests against the baseline: each
    arm with its own settings, then with exchanged ones."""
    found = confirmed_cells(study)
    cells = found[found["of"] == ""]
    if cells.empty:
        return []
    if (cells["diverged"] == cells["replicates"]).all():
        return [Finding("confirm", "Every confirmed configuration diverged on every fresh seed.")]
    strong, apart = not_separable_from_best(study, cells, study.primary, study.lower_is_better, name="name")
    means = summaries(study.finals[study.finals["phase"] == "confirm"], [study.primary])
    means = means.merge(cells[["config_hash", "name"]], on="config_hash")
    if strong:
        best = means[means["name"] == strong[0]].iloc[0]
        rest = (f"; {named(strong[1:])} cannot be told from it" if len(strong) > 1 else "") + (
            f"; {named(apart)} {'ranks' if len(apart) == 1 else 'rank'} worse" if apart else "")
        how = "ranks best"
    else:
        order = means[means["n"] > 0].sort_values(["rate", "mean"], ascending=[True, study.lower_is_better])
        best, how = order.iloc[0], "has the fewest diverged and then the best mean"
        rest = "; too few seeds for a test" if len(cells) > 1 else ""
    lost = f", {share(best['diverged'], best['replicates'])} diverged" if best["diverged"] else ""
    floor = study.plan.floors.get(study.primary)
    known = f", floor {plus_minus(floor.mean, floor.sd)}" if floor else ""
    said = (f"On fresh seeds, of {count(len(cells), 'confirmed configuration')} {best['name']} {how} ({study.primary} "
            f"{number(best['mean'])}{known}{lost}){rest}.")
    same = exchange_comparisons(study)
    if len(same):
        same = same.assign(baseline=same["baseline"].map(dict(zip(found["name"], found["arm"], strict=True))))
    return [Finding("confirm", said, "confirm_cells"),
            *_against_baseline(confirm_comparisons(study), "on fresh seeds", "confirm_comparisons"),
            *_against_baseline(same, "with exchanged settings", "exchange_comparisons")]


def _against_baseline(tests: pd.DataFrame, how: str, table: str) -> list[Finding]:
    """One sentence per baseline: who is significantly better, who worse, and whom nothing tells from it."""
    out = []
    for base, rows in tests.groupby("baseline", sort=False) if len(tests) else []:
        family = count(int(rows["family"].iloc[0]), "comparison")
        if not rows["decidable"].any():
            out.append(Finding("confirm", f"Against {base}, {how}, no p of so few untied pairs could have reached "
                                          f"{ALPHA} among {family}.", table))
            continue
        clear = rows["p_holm"] <= ALPHA
        ahead = rows["better"] + rows["ties"] / 2 > rows["pairs"] / 2
        sides = (("ranks", "rank", "significantly better", rows[clear & ahead]),
                 ("ranks", "rank", "significantly worse", rows[clear & ~ahead]),
                 ("is", "are", "not significantly different", rows[~clear]))
        parts = [f"{named(list(some['arm']))} {one if len(some) == 1 else more} {word}" for one, more, word, some in
                 sides if len(some)]
        out.append(Finding("confirm", f"Against {base}, {how}: {'; '.join(parts)}.", table))
    return out
