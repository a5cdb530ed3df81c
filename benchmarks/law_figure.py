"""The figure of docs/stability-law.md from the report of `search_spaces/law.yaml`, and its data beside it.

    python -m study.launch --space search_spaces/law.yaml
    python analysis/report.py --study law
    python -m benchmarks.law_figure reports/law docs/figures/stability-law
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.figure
import pandas as pd

from analysis.figures.limits import limit_by_horizon
from analysis.palette import Arms, colours, style

ORDER = Arms(("kl", "kl+noise", "r1", "jko-c0.125", "jko", "kl+drift"),
             {"kl+noise": "kl", "kl+drift": "kl", "r1": "jko", "jko-c0.125": "jko"})


def main(report: Path, out: Path) -> None:
    frame = pd.concat([pd.read_csv(path) for path in sorted(report.glob("figures/horizon_*.csv"))]).drop_duplicates()
    levels = sorted(pd.read_csv(next(report.glob("figures/replicates_*.csv")))["step_size"].unique())
    with style():
        figure = matplotlib.figure.Figure(figsize=(9.6, 5.2), layout="constrained")
        for ax, arm in zip(figure.subplots(2, 3).flat, ORDER, strict=True):
            own = frame[frame["arm"] == arm]
            limit = float(own["delta_min"].iloc[0])
            limit_by_horizon(own, ax, predicted=(limit, float("nan")), colour=colours(ORDER)[arm], levels=levels)
            ax.set_title(arm)
        figure.savefig(out.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    frame.to_csv(out.with_suffix(".csv"), index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
