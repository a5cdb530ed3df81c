"""Which arms and cells share a figure, and how a caption says it."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis.panels.palette import methods_of
from analysis.panels.panel import Figure
from analysis.read.study import Study
from analysis.stats.cells import common_cell, ran
from analysis.stats.nearest_cells import Group, nearest
from analysis.text.formatting import count, listed

MOST = 8  # figures by step size
CROWD = 6  # arms whose lines or dots one axes can hold
OPEN = 6  # figures of one kind, beyond which those that are not at a declared cell are folded


def design(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the design phase."""
    return frame[frame["phase"] == "design"]


def present(study: Study, frame: pd.DataFrame) -> list[str]:
    """The arms that `frame` holds, in the plan's order."""
    return [a for a in study.arms if a in set(frame["arm"])]


def replicates(study: Study, phase: str) -> str:
    """`7 replicates`: how many the plan gives each configuration of the phase."""
    planned = study.plan.replicates(phase)
    return count(planned, "replicate") if planned else "its replicates"


def unfolded(figures: list[Figure]) -> list[Figure]:
    """The figures, all of them open where they are at most OPEN."""
    return figures if len(figures) > OPEN else [replace(figure, folded=False) for figure in figures]


def cells_of(frame: pd.DataFrame) -> str:
    """Which arms at how many MCMC steps: `kl and r1 at 5; kl+step at 6`. frame: replicates."""
    arms = frame.groupby("mcmc_steps")["arm"].unique()
    return "; ".join(f"{listed(list(found))} at {steps:g}" for steps, found in arms.items()) + " MCMC steps"


def some_of(groups: list[Group]) -> list[Group]:
    """At most MOST of these and the declared one, evenly chosen with both ends: so many figures a page shows."""
    every = [group for group in groups if not group.declared]
    if len(every) > MOST:
        every = [every[round(i * (len(every) - 1) / (MOST - 1))] for i in range(MOST)]
    return [group for group in groups if group.declared or group in every]


def nearest_note(study: Study) -> str:
    """Which cells stand beside each other (`nearest_cells`), with the arms that could not run the common number of MCMC
    steps, and how many step sizes of the study have no figure."""
    common, cells = common_cell(study), ran(study)
    assert common is not None
    own = nearest(cells, common[1])
    other = [a for a in present(study, own) if (own.loc[own["arm"] == a, "mcmc_steps"] != common[1]).any()]
    few = f"At most {MOST} step sizes." if cells["step_size"].nunique() > MOST else ""
    if not other:
        return f"At {common[1]:g} MCMC steps. {few}".strip()
    return (f"At {common[1]:g} MCMC steps; {listed(other)} did not run so many everywhere and "
            f"{'stands' if len(other) == 1 else 'stand'} with the nearest number, in brackets where it is not the "
            f"heading's. {few}").strip()


def arm_groups(study: Study, frame: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """`frame` in groups of arms that one axes can hold: a suffix for files, words for headings, and the rows.

    All in one up to CROWD arms, without suffix and words. Else the arms of a method stay together and small
    methods share a group; the baseline, with which all are compared, is in each.
    """
    arms, methods = present(study, frame), methods_of(study.arms)
    if len(arms) <= CROWD:
        return [("", "", frame)]
    base = next((a for a in arms if study.baseline_of(a) is None), arms[0])
    large: list[list[str]] = []
    small: list[list[str]] = []
    for method in dict.fromkeys(methods[a] for a in arms):
        own = [a for a in arms if methods[a] == method]
        if len(own) > CROWD // 2:
            large += [own[i:i + CROWD] for i in range(0, len(own), CROWD)]
        elif small and len(small[-1]) + len(own) <= CROWD:
            small[-1] += own
        else:
            small.append(own)
    groups = large + small
    named = [dict.fromkeys(methods[a] for a in group) for group in groups]
    shown = [frame[frame["arm"].isin([*group, base])] for group in groups]
    return [(f"_{k}", ", ".join(names), rows) for k, (names, rows) in enumerate(zip(named, shown, strict=True))]
