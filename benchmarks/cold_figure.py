"""The figure of docs/reports/cold from the study of `search_spaces/cold.yaml`, and its data beside it.

    python -m study.launch --space search_spaces/cold.yaml
    python -m benchmarks.cold_figure docs/reports/cold/figures/cold

Reads the study from MLflow's default store, as the report does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd

from analysis import load
from analysis.panels.palette import style
from analysis.read.study import Study

RESTARTS, PIXEL = 0.05 / 10, 0.636  # share of chains that restart in a step; E x^2 of a pixel of digits
SHOWN = {"virial": "virial E[x . grad U] / (tau dim)", "kid_clf64_256": "KID (clf64, n = 256)"}
NO_NOISE = 2e-4  # where temperature 0 stands on the axis


def table(study: Study) -> pd.DataFrame:
    """Of every cell the means over the second half of training: those of living replicates."""
    knobs = pd.DataFrame([{"config_hash": c.config_hash, "method": c.method, **{
        name: float(c.knobs[name]) for name in ("temperature", "step_size")}} for c in study.plan.cells])
    late = study.curves[study.curves["update"] > study.curves["update"].max() / 2]
    known = [name for name in ("virial", "gap", "sd_f", "variance_ratio", "kid_clf64_256") if name in late]
    means = late.groupby("config_hash")[known].mean().reset_index()
    lost = study.finals.groupby("config_hash")["diverged"].agg(["sum", "size"]).reset_index().set_axis(
        ["config_hash", "diverged", "replicates"], axis=1)
    return knobs.merge(lost).merge(means, how="left").sort_values(["method", "step_size", "temperature"]).drop(
        columns="config_hash").reset_index(drop=True)


def draw(study: Study, out: Path) -> pd.DataFrame:
    """Virial and KID against the temperature; writes `out`.png and `out`.csv, and returns the latter."""
    frame = table(study)
    taus = sorted(set(frame["temperature"]) - {0})
    with style():
        figure = matplotlib.figure.Figure(figsize=(9.6, 3.6), layout="constrained")
        for ax, (name, label) in zip(figure.subplots(1, 2), SHOWN.items(), strict=True):
            for k, (size, own) in enumerate(frame.groupby("step_size")):
                for method, rows in own.groupby("method"):
                    at = rows["temperature"].clip(lower=NO_NOISE)
                    ax.plot(at, rows[name], color=f"C{k}", marker="o", linestyle="-" if method == "kl" else "--",
                            label=f"{method}, step size {size:g}")
                if name == "virial":
                    tau = np.geomspace(1e-3, 1, 50)
                    ax.plot(tau, 1 + RESTARTS * (1 - PIXEL) / (tau * size**2), color=f"C{k}", linewidth=0.7, alpha=0.6)
            ax.set(xscale="log", yscale="log" if name == "virial" else "linear", ylabel=label, xlabel="temperature tau",
                   xticks=[NO_NOISE, *taus], xticklabels=["0", *map("{:g}".format, taus)])
            ax.xaxis.minorticks_off()
            if name == "virial":
                ax.yaxis.set_major_formatter("{x:g}")
                ax.legend(fontsize=7, handlelength=3.5)
        figure.savefig(out.with_suffix(".png"), dpi=110, metadata={"Software": None})
    frame.to_csv(out.with_suffix(".csv"), index=False, float_format="%.4g")
    return frame


def main() -> None:
    """Draw the study `cold` of MLflow's default store."""
    with tempfile.TemporaryDirectory() as cache:
        draw(load("cold", cache=cache), Path(sys.argv[1] if len(sys.argv) > 1 else "cold"))


if __name__ == "__main__":
    main()
