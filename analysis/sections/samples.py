"""F8: sample sheets side by side, real data first."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis.figures import samples as figures
from analysis.sections.canvas import Canvas, Panel, Section
from analysis.wording import slug


def samples(canvas: Canvas) -> Section | None:
    """Sheets of the first seed that has one, at the common cell and at the cell with the widest span of rates."""
    study, ran = canvas.study, canvas.grid[canvas.grid["replicates"] > 0]
    if canvas.common is None or ran.empty:
        return None
    span = ran.groupby(["step_size", "mcmc_steps"])["rate"].agg(lambda r: r.max() - r.min())
    widest = span.sort_values(ascending=False, kind="stable").index[0]
    panels = []
    for step, steps in dict.fromkeys([canvas.common, widest]):
        here = ran[(ran["step_size"] == step) & (ran["mcmc_steps"] == steps)]
        for arm in study.arms:
            found = study.finals[study.finals["config_hash"].isin(here.loc[here["arm"] == arm, "config_hash"])]
            panel = _sheet(canvas, arm, f"{arm} at {step:g}, {steps:g} steps", found)
            if panel is not None:
                panels.append(panel)
    if not panels:
        return None
    real = _real(canvas)
    return Section(
        "Samples",
        "One seed an arm, the first that survived, not the best (none where all diverged): at the common cell, then "
        "at the cell where the arms' divergence rates differ most." + (" First: training data." if real else ""),
        [*([real] if real else []), *panels])


def _sheet(canvas: Canvas, arm: str, heading: str, found: pd.DataFrame) -> Panel | None:
    for row in found.sort_values(["diverged", "seed"]).to_dict("records"):
        path = canvas.store.sheet(canvas.study, row["config_hash"], int(row["seed"]), canvas.out / "cache")
        if path is not None:
            frame = pd.DataFrame([{k: row[k] for k in ("arm", "step_size", "mcmc_steps", "seed", "verdict")}])
            note = f"seed {row['seed']}, {row['verdict']}"
            step, i = slug(f"{row['step_size']:g}"), canvas.study.arms.index(arm)
            name = f"samples_{step}_{row['mcmc_steps']:g}_{i}_{slug(arm)}"
            draw = partial(figures.sample_sheet, path, note=note, alarm=row["verdict"] == "diverged")
            return canvas.panel(name, heading, frame, draw, (3.0, 3.2), f"Samples of {heading}, {note}")
    return None


def _real(canvas: Canvas) -> Panel | None:
    path = canvas.store.data_sheet(canvas.study, canvas.out / "cache")
    if path is None:
        return None
    name = str(canvas.study.plan.get("data", {}).get("name", "data"))
    return canvas.panel("samples_data", f"{name}: training data", pd.DataFrame([{"data": name}]),
                        partial(figures.sample_sheet, path, note="real, drawn at random"), (3.0, 3.2),
                        f"Training samples of {name}")
