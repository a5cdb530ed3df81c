"""T4: what each factor of the design does."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.panels.panel import Panel, Table
from analysis.read.study import Study
from analysis.stats.effects import effects
from analysis.stats.inference import Interval
from analysis.text.formatting import DASH, bounds, interval, number, share


class Effects(Panel):
    """The design's factors, level by level."""

    name, title, late = "effects", "What each factor does", True

    def frame(self, study: Study) -> pd.DataFrame:
        return effects(study)

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        return [Table(self.name, effect_words(study, frame), frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return ("Each level of the design averaged over the levels of the other factors that all levels ran with; the "
                "method's levels are the arms that share cells with the baseline. Mean [95 % t interval] over the n "
                "seeds that survived in all of a level's cells; poor: of poor quality, among all survivors there. "
                "Diverged: over those cells; rate over seeds: the mean of a seed's share of cells in which it diverged "
                "[95 % t interval over seeds; none where all have the same share, whose spread of 0 says nothing of "
                "other seeds].")


def effect_words(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """`effects` for a reader."""
    some = frame.to_dict("records")
    return pd.DataFrame({
        "arm": frame["arm"], "factor": frame["factor"].replace({"step_size": "step size", "mcmc_steps": "MCMC steps"}),
        "level": [r["level"] if isinstance(r["level"], str) else f"{r['level']:g}" for r in some],
        "cells": frame["cells"].map(str),
        "diverged": [share(r["diverged"], r["replicates"]) for r in some],
        "rate over seeds": [number(r["rate"], 2) + ("" if pd.isna(r["rate_low"]) else " " + bounds(
            Interval.of(r, "rate", "rate_"))) for r in some],
        study.primary: [f"{interval(Interval.of(r))} (n = {r['n']}{_poor(r)})" if r["n"] else DASH for r in some]})


def _poor(row: Any) -> str:
    """`; 9 of 14 poor`: of the survivors of a level's cells."""
    return f"; {row['poor']:g} of {row['replicates'] - row['diverged']} poor" if row["poor"] > 0 else ""
