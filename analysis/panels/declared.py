"""T1: one declared cell an arm, where the comparisons are made."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.panels.cell_tables import MainTable
from analysis.panels.panel import Table
from analysis.read.study import CELL, Study, rows
from analysis.stats.cells import common_cell
from analysis.stats.comparisons import compared_cells
from analysis.stats.inference import IQM_FROM, Interval, bca_interval, iqm, t_interval
from analysis.stats.outcomes import poor
from analysis.text.formatting import interval, share
from analysis.text.outcomes import flagged


class Declared(MainTable):
    """Each arm at its declared cell, and the same by estimators that fear no outlier."""

    name = "common_cell"

    def cells(self, study: Study) -> pd.DataFrame:
        return compared_cells(study)

    def heading(self, study: Study, frame: pd.DataFrame) -> str:
        return f"At one common cell: {_where(study)}" if _is_one(frame) else "At one declared cell an arm"

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        numbers = robust(study, self.cells(study))
        words = robust_words(study, numbers) if (numbers["n"] >= IQM_FROM).any() else None
        return [*super().tables(study, frame), Table("robust", words, numbers)]

    def caveat(self, study: Study, frame: pd.DataFrame) -> str:
        apart = "" if _is_one(frame) else (f" An arm that did not run at {_where(study)} stands with its cell nearest "
                                           "in step size, then with the most MCMC steps.")
        return apart + " The plan chose it before any result."


def _is_one(frame: pd.DataFrame) -> bool:
    """Whether all arms stand at one cell. frame: of a main table, with the floor."""
    return len(frame.dropna(subset=["config_hash"]).drop_duplicates(CELL)) == 1


def _where(study: Study) -> str:
    common = common_cell(study)
    assert common is not None
    return f"step size {common[0]:g}, {common[1]:g} MCMC steps"


def robust(study: Study, cells: pd.DataFrame) -> pd.DataFrame:
    """The primary measure of these configurations' survivors by estimators that fear no outlier, beside the t interval:
    one row per configuration with counts, poor (survivors of poor quality), mean and its t and BCa bounds (BCa from n =
    20), iqm and its bounds (n = 10)."""
    found = []
    for cell in rows(cells):
        own = study.replicates_of(cell.config_hash)
        x = own.loc[~own["diverged"], study.primary].dropna().to_numpy(float)
        t, bca, middle = t_interval(x), bca_interval(x, np.random.default_rng(0)), iqm(x, np.random.default_rng(0))
        found.append({"arm": cell.arm, **{k: getattr(cell, k) for k in CELL}, "diverged": int(own["diverged"].sum()),
                      "replicates": len(own), "n": t.n, "poor": poor(own),
                      "mean": t.estimate, "t_low": t.low, "t_high": t.high, "bca_low": bca.low, "bca_high": bca.high,
                      "iqm": middle.estimate, "iqm_low": middle.low, "iqm_high": middle.high})
    return pd.DataFrame(found)


def robust_words(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """`robust` for a reader."""
    some = frame.to_dict("records")
    return pd.DataFrame({"arm": frame["arm"], "diverged": [share(r["diverged"], r["replicates"]) for r in some],
                         "n": [f"{r['n']}{flagged(r['poor'])}" for r in some],
                         **{words: [interval(Interval.of(r, estimate, f"{bounds}_")) for r in some]
                            for words, estimate, bounds in ((f"{study.primary}, mean [t]", "mean", "t"), (
                                "mean [BCa]", "mean", "bca"), ("interquartile mean [BCa]", "iqm", "iqm"))}})
