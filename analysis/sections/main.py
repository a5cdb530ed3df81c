"""T1 and the tables behind it: the arms at their declared cells, at their best cells, confirmed, and every cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from analysis import main_table, tables
from analysis.comparisons import (
    ALPHA,
    compared_cells,
    comparisons,
    confirm_comparisons,
    confirmed_cells,
    not_separable_from_best,
)
from analysis.inference import IQM_FROM, Interval, pairs_needed
from analysis.load import COSTS, Study
from analysis.sections.canvas import Canvas, Section
from analysis.wording import DASH, bounds, count, interval, number, share

CONFIRM_TESTS = "confirm_comparisons"
SHOWN = 3  # quality measures in a main table, beside one cost; the CSV files hold all
NOTE = ("Mean [95 % t interval] over n surviving replicates, of costs too: one that diverged stopped early; diverged: "
        "k/n (reasons) [Wilson 95 %]; poor: so many of the n are of poor quality and may rule the mean; floor: mean "
        "\u00b1 sd.")
BOLD = (" Bold: the best by ranks paired by seed, divergence as worst, and all that Holm's test does not separate "
        "from it; arms with missing replicates take no part. The best is picked on the seeds that it is tested on: of "
        "13 equal arms one or more miss the bold by chance in 15 % of studies (of 6 in 8 %, of 3 in 4 %).")


def declared(canvas: Canvas) -> Section | None:
    """T1: one declared cell an arm, where the comparisons are made."""
    cells = compared_cells(canvas.study)
    if canvas.common is None or cells.empty:
        return None
    one = cells.drop_duplicates(["step_size", "mcmc_steps"])
    where = f"step size {canvas.common[0]:g}, {canvas.common[1]:g} MCMC steps"
    caveat = "" if len(one) == 1 else (" An arm that did not run at " + where + " stands with its cell nearest in step "
                                       "size, then with the most MCMC steps.")
    caveat += " The plan chose it before any result."
    section = _main(canvas, "common_cell", f"At one common cell: {where}" if len(one) == 1 else
                    "At one declared cell an arm", cells, caveat)
    section.raw["robust"] = main_table.robust(canvas.study, cells)
    if (section.raw["robust"]["n"] >= IQM_FROM).any():
        section.tables.append(("robust", main_table.robust_words(canvas.study, section.raw["robust"])))
    return section


def compared(canvas: Canvas) -> Section | None:
    """T1b: the tests behind the claims, each with its effect size."""
    frame = comparisons(canvas.study)
    if frame.empty:
        return None
    m = int(frame["family"].iloc[0])
    few = "" if frame["decidable"].all() else (
        f" With so few untied pairs some p could not have reached {ALPHA}: {pairs_needed(m)} would do.")
    return Section(
        "Against the baseline",
        "Paired by seed, ranks with divergence as worst; superiority: the chance that the arm is better, ties half "
        "[Wilson 95 %]; difference: arm \u2212 baseline over seeds on which both survived [95 % t interval], which "
        "describes; p: sign-flip permutation; Holm over the "
        f"{count(m, 'comparison')} that the plan declares, finished or not.{few}",
        tables=[("comparisons", compared_words(frame, canvas.study))], raw={"comparisons": frame.drop(columns="test")})


def compared_words(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """`comparisons` for a reader."""
    found = []
    for r in frame.to_dict("records"):
        chance = Interval(r["superiority"], r["superiority_low"], r["superiority_high"], r["pairs"])
        gap = Interval(r["difference"], r["low"], r["high"], r["both_survived"])
        found.append({
            "arm": r["arm"], "baseline": r["baseline"], "cell": f"{r['step_size']:.4g}, {r['mcmc_steps']:g} steps",
            "diverged": share(r["diverged"], r["replicates"]),
            "better / worse / tied": f"{r['better']} / {r['worse']} / {r['ties']} of {r['pairs']}",
            "superiority": f"{chance.estimate:.2f} {bounds(chance)}",
            f"{study.primary}, difference": f"{interval(gap)} (n = {gap.n})" if gap.n else DASH,
            "p": number(r["p"], 2), "Holm p": number(r["p_holm"], 2)
            + ("" if r["decidable"] else f" (at least {number(min(1.0, r['family'] * r['p_attainable']), 2)})")})
    return pd.DataFrame(found)


def best(canvas: Canvas) -> Section | None:
    """Each arm at its best design cell."""
    cells = tables.best_cells(canvas.study)
    return None if cells.empty else _main(canvas, "best_cells", "At each arm's best design cell", cells,
                                          " Chosen on the same seeds, so optimistic.")


def confirmed(canvas: Canvas) -> Section | None:
    """The confirm phase, with its tests against the baseline."""
    study = canvas.study
    cells = confirmed_cells(study)
    strong, _ = not_separable_from_best(study, cells, study.primary, study.lower_is_better, name="name")
    bold = cells.loc[cells["name"].isin(strong), "config_hash"].tolist()
    section = _every(canvas, "confirm", "Confirmed on fresh seeds and held-out samples", late=False, bold=bold)
    tests = confirm_comparisons(study)
    if section is None or tests.empty:
        return section
    m = int(tests["family"].iloc[0])
    note = (BOLD if strong else "") + (" Second table: each against the baseline, as in the design; Holm over the "
                                       f"{count(m, 'comparison')} that the plan confirms.")
    return replace(section, caption=section.caption + note,
                   tables=[*section.tables, (CONFIRM_TESTS, compared_words(tests, study))],
                   raw={**section.raw, CONFIRM_TESTS: tests.drop(columns="test")})


def design(canvas: Canvas) -> Section | None:
    """Every cell of the design, those that were not run too."""
    return _every(canvas, "design", "Every design cell")


def search(canvas: Canvas) -> Section | None:
    """Every finished trial of the search."""
    return _every(canvas, "search", "Every finished search trial")


def _measures(canvas: Canvas) -> list[str]:
    costs = [m for m in canvas.study.measures if m in COSTS]
    return [m for m in canvas.study.measures if m not in COSTS][:SHOWN] + costs[:1]


def _main(canvas: Canvas, name: str, title: str, cells: pd.DataFrame, caveat: str) -> Section:
    study, shown = canvas.study, _measures(canvas)
    strong, _ = not_separable_from_best(study, cells, study.primary, study.lower_is_better)
    bold = cells.loc[cells["arm"].isin(strong), "config_hash"].tolist()
    frame = main_table.main_frame(study, cells, shown, bold)
    return Section(title, NOTE + caveat + (BOLD if strong else ""),
                   tables=[(name, main_table.main_words(frame, shown))], raw={name: frame})


def _every(canvas: Canvas, phase: str, title: str, late: bool = True, bold: Sequence[str] = ()) -> Section | None:
    shown = _measures(canvas)[:SHOWN]
    frame = main_table.every_frame(canvas.study, phase, shown, bold)
    if frame.empty:
        return None
    name = f"{phase}_cells"
    return Section(title, NOTE, tables=[(name, main_table.every_words(frame, shown))], raw={name: frame}, late=late)
