"""F8: sample sheets side by side, real data first."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis.comparisons import compared_cells
from analysis.figures import samples as figures
from analysis.load import CELL
from analysis.sections.canvas import Canvas, Panel, Section
from analysis.wording import slug


def samples(canvas: Canvas) -> Section | None:
    """Sheets of one seed an arm, at its declared cell and at the cell with the widest span of divergence rates."""
    study, ran = canvas.study, canvas.grid[canvas.grid["replicates"] > 0]
    if canvas.common is None or ran.empty:
        return None
    span = ran.groupby(CELL)["rate"].agg(lambda r: r.max() - r.min()).sort_values(ascending=False, kind="stable")
    widest = ran.set_index(CELL).loc[[span.index[0]]] if span.iloc[0] > 0 else ran.iloc[:0]
    chosen = dict.fromkeys([*compared_cells(study)["config_hash"], *widest["config_hash"]])
    panels = [p for key in chosen for p in _sheets(canvas, study.finals[study.finals["config_hash"] == key])]
    if not panels:
        return None
    real = _real(canvas)
    return Section(
        "Samples",
        "One seed an arm, the first that survived, not the best (none where all diverged): at its "
        "declared cell, then at the cell where the arms' divergence rates differ most."
        + (" First: training data." if real else "") + (" Rows of nearest: samples, each above the training image that "
        "is nearest in pixels." if any("nearest" in p.name for p in panels) else ""),
        [*([real] if real else []), *panels])


def _sheets(canvas: Canvas, found: pd.DataFrame) -> list[Panel]:
    """The sample sheet of one configuration's first survivor, and its nearest training images; [] where none is."""
    for row in found.sort_values(["diverged", "seed"]).to_dict("records"):
        heading = f"{row['arm']} at {row['step_size']:.4g}, {row['mcmc_steps']:g} steps"
        note = f"seed {row['seed']}, {row['verdict']}"
        frame = pd.DataFrame([{k: row[k] for k in ("arm", "step_size", "mcmc_steps", "seed", "verdict")}])
        step, i = slug(f"{row['step_size']:g}"), canvas.study.arms.index(row["arm"])
        end = f"{step}_{row['mcmc_steps']:g}_{i}_{slug(row['arm'])}"
        panels = []
        for kind, title in (("samples", heading), ("nearest", f"{heading}: nearest training images")):
            path = canvas.store.sheet(canvas.study.launch["experiment"], row["config_hash"], int(row["seed"]),
                                      f"{kind}_{row['seed']}.png", canvas.out / "cache")
            if path is not None:
                draw = partial(figures.sample_sheet, path, note=note, alarm=row["verdict"] == "diverged")
                panels.append(canvas.panel(f"{kind}_{end}", title, frame, draw, (3.0, 3.2), f"{title}; {note}"))
        if panels:
            return panels
    return []


def _real(canvas: Canvas) -> Panel | None:
    path = canvas.store.picture(canvas.study.launch["run_id"], "data_samples.png", canvas.out / "cache")
    if path is None:
        return None
    name = str(canvas.study.plan.get("data", {}).get("name", "data"))
    return canvas.panel("samples_data", f"{name}: training data", pd.DataFrame([{"data": name}]),
                        partial(figures.sample_sheet, path, note="real, drawn at random"), (3.0, 3.2),
                        f"Training samples of {name}")
