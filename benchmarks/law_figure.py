"""The figure of docs/stability-law.md from the study of `search_spaces/law.yaml`, and its data beside it.

    python -m study.launch --space search_spaces/law.yaml
    python -m benchmarks.law_figure docs/figures/stability-law

Reads the study from MLflow's default store, as the report does.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

import matplotlib.figure
import pandas as pd
from matplotlib.lines import Line2D

from analysis import load
from analysis.panels.horizon import limit_by_horizon
from analysis.panels.palette import ALARM, colours, style
from analysis.read.study import Study
from analysis.stats.horizons import limits_by_horizon
from analysis.stats.limits import limits

COLUMNS = 3


def draw(study: Study, out: Path) -> pd.DataFrame:
    """A panel an arm, those without a divergence too, at the most MCMC steps; writes `out`.svg and `out`.csv, and
    returns the latter."""
    predicted = limits(study)[["arm", "mcmc_steps", "delta_min", "delta_med"]]
    frame = limits_by_horizon(study).merge(predicted, on=["arm", "mcmc_steps"])
    frame = frame[frame["mcmc_steps"] == frame["mcmc_steps"].max()].astype({"mcmc_steps": int}).reset_index(drop=True)
    levels = sorted(study.cells["step_size"].unique())
    with style():
        rows = math.ceil(len(study.arms) / COLUMNS)
        figure = matplotlib.figure.Figure(figsize=(9.6, 2.6 * rows), layout="constrained")
        every = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
        for ax in every[len(study.arms):]:
            ax.set_axis_off()
        for ax, arm in zip(every, study.arms, strict=False):
            own = frame[frame["arm"] == arm]
            limit = float(own["delta_min"].iloc[0])
            limit_by_horizon(own, ax, predicted=(limit, float("nan")), colour=colours(study.arms)[arm], levels=levels)
            ax.set_title(arm)
            if known := ax.get_legend():  # one for all of them, below
                known.remove()
        figure.legend(handles=[Line2D([], [], color=ALARM, label="predicted limit")], loc="outside lower right")
        figure.savefig(out.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    frame.to_csv(out.with_suffix(".csv"), index=False)
    return frame


def main() -> None:
    """Draw the study `law` of MLflow's default store."""
    with tempfile.TemporaryDirectory() as cache:
        draw(load("law", cache=cache), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
