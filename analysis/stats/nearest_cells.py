"""Which cells stand in one figure where not every arm ran the same: each arm's nearest, and which it is, in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.read.study import Study, rows
from analysis.stats.cells import common_cell, ran
from analysis.stats.comparisons import compared_cells


@dataclass(frozen=True)
class Group:
    """Cells of one figure, one an arm."""

    name: str  # for files: the step size, or `declared`
    heading: str  # the cell of all arms of which `said` says nothing
    said: dict[str, str]  # arm -> words behind its name where its cell is another one, else ""
    cells: frozenset[str]  # config_hash
    step: float | None  # step size of all; None at declared cells of several
    declared: bool  # whether the comparisons are made here


def nearest(cells: pd.DataFrame, steps: int) -> pd.DataFrame:
    """Of each arm and step size the cell with the number of MCMC steps nearest to `steps` by ratio, of two such the
    larger. cells: rows of `grid`."""
    far = np.abs(np.log(cells["mcmc_steps"].astype(float) / steps)).round(9)
    ranked = cells.assign(far=far).sort_values(["far", "mcmc_steps"], ascending=[True, False], kind="stable")
    return cells.loc[sorted(ranked.drop_duplicates(["arm", "step_size"]).index)]


def nearest_cells(study: Study) -> list[Group]:
    """One figure per step size that ran, with the `nearest` cells to the common number of MCMC steps; before them one
    of the declared cells, where no step size holds all of those. A step size whose cells it shows has none of its own.
    """
    common, finished = common_cell(study), ran(study)
    if common is None or finished.empty:
        return []
    declared = compared_cells(study)
    at = frozenset(declared["config_hash"])
    close = nearest(finished, common[1])
    found = [_level(own, common, at) for _, own in close.groupby("step_size")]
    if any(group.declared for group in found):
        return found
    said = {c.arm: "" if (c.step_size, c.mcmc_steps) == common else f" ({c.step_size:.4g}, {c.mcmc_steps:g})"
            for c in rows(declared)}
    heading = f"declared cells: step size {common[0]:g}, {common[1]:g} MCMC steps, or in brackets"
    return [Group("declared", heading, said, at, None, True), *(g for g in found if not g.cells <= at)]


def _level(own: pd.DataFrame, common: tuple[float, int], declared: frozenset[str]) -> Group:
    """One step size. Its heading has the common number of MCMC steps, or if no arm ran that here the most frequent."""
    step, counts = float(own["step_size"].iloc[0]), own["mcmc_steps"].value_counts().sort_index(ascending=False)
    steps = common[1] if common[1] in counts.index else counts.idxmax()
    said = {c.arm: "" if c.mcmc_steps == steps else f" ({c.mcmc_steps:g} steps)" for c in rows(own)}
    cells = frozenset(own["config_hash"])
    return Group(f"{step:g}", f"step size {step:g}, {steps:g} MCMC steps", said, cells, step, declared <= cells)
