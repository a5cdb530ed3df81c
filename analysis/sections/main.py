"""T1 and the tables behind it: the arms at their declared cells, at their best cells, confirmed, and every cell."""

from __future__ import annotations

import pandas as pd

from analysis import tables
from analysis.comparisons import compared_cells, comparisons, not_separable_from_best
from analysis.inference import IQM_FROM
from analysis.load import COSTS
from analysis.sections.canvas import Canvas, Section

SHOWN = 3  # quality measures in a main table, beside one cost; the CSV files hold all
NOTE = "Mean [95 % t interval] over n surviving replicates; diverged: k/n [Wilson 95 %]; floor: mean \u00b1 sd."
BOLD = (" Bold: the best by ranks paired by seed, divergence as worst, and all that Holm's test does not separate "
        "from it.")


def declared(canvas: Canvas) -> Section | None:
    """T1: one declared cell an arm, where the comparisons are made."""
    cells = compared_cells(canvas.study)
    if canvas.common is None or cells.empty:
        return None
    one = cells.drop_duplicates(["step_size", "mcmc_steps"])
    where = f"step size {canvas.common[0]:g}, {canvas.common[1]:g} MCMC steps"
    caveat = "" if len(one) == 1 else (" An arm that did not run at " + where + " stands with its cell nearest in step "
                                       "size, then with the most MCMC steps.")
    section = _main(canvas, "common_cell", f"At one common cell: {where}" if len(one) == 1 else
                    "At one declared cell an arm", cells, caveat)
    compared = comparisons(canvas.study)
    if len(compared):
        section.raw["comparisons"] = compared.drop(columns="test")
    section.raw["robust"] = tables.robust(canvas.study, cells)
    if (section.raw["robust"]["n"] >= IQM_FROM).any():
        section.tables.append(("robust", tables.robust_words(canvas.study, section.raw["robust"])))
    return section


def best(canvas: Canvas) -> Section | None:
    """Each arm at its best design cell."""
    cells = tables.best_cells(canvas.study)
    return None if cells.empty else _main(canvas, "best_cells", "At each arm's best design cell", cells,
                                          " Chosen on the same seeds, so optimistic.")


def confirmed(canvas: Canvas) -> Section | None:
    """The confirm phase."""
    return _every(canvas, "confirm", "Confirmed on fresh seeds and held-out samples", late=False)


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
    words = tables.main_table(study, cells, shown)
    strong = not_separable_from_best(study, cells, study.primary, study.lower_is_better)
    words.attrs["bold"] = [[i, study.primary] for i, arm in enumerate(words["arm"]) if arm in strong]
    raw = canvas.every[canvas.every["config_hash"].isin(cells["config_hash"])]
    return Section(title, NOTE + caveat + (BOLD if strong else ""), tables=[(name, words)], raw={name: raw})


def _every(canvas: Canvas, phase: str, title: str, late: bool = True) -> Section | None:
    words = tables.every_cell(canvas.study, phase, _measures(canvas)[:SHOWN])
    if words.empty:
        return None
    name = f"{phase}_cells"
    return Section(title, NOTE, tables=[(name, words)], raw={name: canvas.every[canvas.every["phase"] == phase]},
                   late=late)
