"""F8: sample sheets on a common seed, methods side by side, real data first."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.comparisons import compared_cells
from analysis.endings import ending
from analysis.figures import samples as figures
from analysis.load import CELL
from analysis.sections.canvas import OPEN, Canvas, Panel, Section
from analysis.wording import slug

SAID = ("seed", "verdict", "flags", "reason")  # of the replicate that a sheet shows
CHAINS = 6  # rows of the joint figure
TRIES = 3  # common seeds looked at for one whose sheets were all kept


def samples(canvas: Canvas) -> Section | None:
    """Sheets of one seed, at each arm's declared cell and at the cell with the widest span of divergence rates."""
    study, ran = canvas.study, canvas.grid[canvas.grid["replicates"] > 0]
    if canvas.common is None or ran.empty:
        return None
    span = ran.groupby(CELL)["rate"].agg(lambda r: r.max() - r.min()).sort_values(ascending=False, kind="stable")
    widest = ran.set_index(CELL).loc[[span.index[0]]] if span.iloc[0] > 0 else ran.iloc[:0]
    declared = list(compared_cells(study)["config_hash"])
    panels: list[Panel] = []
    own = False
    for hashes in (declared, [h for h in widest["config_hash"] if h not in declared]):
        chosen, common = chosen_seeds(study.finals[study.finals["config_hash"].isin(hashes)], canvas.arms)
        for seed in common[:TRIES]:
            sheets = [_fetch(canvas, row | _at(study.finals, row, seed)) for row in chosen]
            if all(sheet["samples"] for sheet in sheets if sheet["verdict"] != "diverged"):
                break
        else:
            sheets, own = [_first_kept(canvas, row) for row in chosen], own or bool(chosen)
        group = _group(canvas, sheets)
        alone = sum(not panel.name.startswith("joint") for panel in group)
        later = bool(panels) or alone > OPEN
        panels += [replace(panel, folded=later and not panel.name.startswith("joint")) for panel in group]
    if not panels:
        return None
    real = _real(canvas)
    return Section(
        "Samples",
        "One seed for all arms, so that all start from the same noise: the smallest at which every arm shown survived "
        "that has a survivor, not the best. At the declared cells, then at the cell where the arms' divergence rates "
        "differ most."
        + (" Where no seed survived in all arms each shows its own first survivor, as the note says." if own else "")
        + (" Nearest: training images that are nearest in pixels, right of a sample in the joint figure, else right "
           "below." if any("nearest" in p.name for p in panels) else "")
        + (" First: training data." if real else ""),
        [*([_panel(canvas, *real)] if real else []), *panels], folded="the sheets of single arms")


def chosen_seeds(found: pd.DataFrame, arms: list[str]) -> tuple[list[dict[str, Any]], list[int]]:
    """One row of `found` (finals) a configuration, that of its first survivor or else its first seed, in the order of
    arms; and the seeds, smallest first, that survived wherever any did. Empty where there is none."""
    rows, alive = [], []
    for _, own in found.groupby("config_hash"):
        first = own.sort_values(["diverged", "seed"]).iloc[0]
        rows.append({str(k): v for k, v in first.items()})
        if not first["diverged"]:
            alive.append(set(own.loc[~own["diverged"].astype(bool), "seed"].astype(int)))
    return (sorted(rows, key=lambda row: (arms.index(row["arm"]), row["step_size"])),
            sorted(set.intersection(*alive)) if alive else [])


def _at(finals: pd.DataFrame, row: dict[str, Any], seed: int) -> dict[str, Any]:
    """Seed, verdict and flags of the same configuration at another seed; nothing where it has none."""
    other = finals[(finals["config_hash"] == row["config_hash"]) & (finals["seed"] == seed)]
    return {"common": True, **{name: other[name].iloc[0] for name in SAID if name in other}} if len(other) else {}


def _fetch(canvas: Canvas, row: dict[str, Any]) -> dict[str, Any]:
    """The row with the paths of its replicate's two sheets, None where a sheet was not kept."""
    paths = {kind: canvas.store.sheet(canvas.study.launch["experiment"], row["config_hash"], int(row["seed"]),
                                      f"{kind}_{row['seed']}.png", canvas.out / "cache")
             for kind in ("samples", "nearest")}
    return {**row, **paths}


def _first_kept(canvas: Canvas, row: dict[str, Any]) -> dict[str, Any]:
    """`_fetch` of the same configuration's first replicate with a sheet, survivors first; the row without any else."""
    finals = canvas.study.finals
    every = finals[finals["config_hash"] == row["config_hash"]].sort_values(["diverged", "seed"])
    found = (_fetch(canvas, {str(k): v for k, v in other.items()}) for other in every.to_dict("records"))
    return next((sheet for sheet in found if sheet["samples"] is not None), {**row, "samples": None, "nearest": None})


def _group(canvas: Canvas, sheets: list[dict[str, Any]]) -> list[Panel]:
    """The joint figure of these sheets, in which an arm that has none is named, then each alone."""
    there = [sheet for sheet in sheets if sheet["samples"] is not None]
    panels = [_joint(canvas, sheets)] if there and len(sheets) > 1 else []
    for row in there:
        heading = f"{row['arm']} at {row['step_size']:.4g}, {row['mcmc_steps']:g} steps"
        note = f"{'' if row.get('common') else 'own '}seed {row['seed']}, {ending(row)}"
        frame = pd.DataFrame([{k: row.get(k) for k in ("arm", *CELL, *SAID)}])
        step, i = slug(f"{row['step_size']:g}"), canvas.study.arms.index(row["arm"])
        end = f"{step}_{row['mcmc_steps']:g}_{i}_{slug(row['arm'])}"
        panels += [_panel(canvas, f"{kind}_{end}", title, row[kind], note, frame, row["verdict"] == "diverged")
                   for kind, title in (("samples", heading), ("nearest", f"{heading}: nearest training images"))
                   if row[kind] is not None]
    return panels


def _joint(canvas: Canvas, sheets: list[dict[str, Any]]) -> Panel:
    """A column an arm, a row a chain: as it goes into a paper."""
    shape = canvas.study.plan.get("data", {}).get("shape", [])
    columns = [figures.Column(
        f"{row['arm']}\n{row['step_size']:.4g}, {row['mcmc_steps']:g} steps"
        + (("\ndiverged" if row["verdict"] == "diverged" else "\nno sheet") if row["samples"] is None else
           "" if row.get("common") else f"\nseed {row['seed']}"),
        figures.cut(row["samples"], shape, CHAINS) if row["samples"] else [],
        figures.cut(row["nearest"], shape, CHAINS, nearest=True) if row["nearest"] and len(shape) == 3 else [],
        row["verdict"] == "diverged") for row in sheets]
    real = _real(canvas)
    if real is not None:
        columns.insert(0, figures.Column("training data", figures.cut(real[2], shape, CHAINS), []))
    seeds = sorted({int(row["seed"]) for row in sheets if row["samples"]})
    heading = f"side by side, seed {seeds[0]}" if len(seeds) == 1 else "side by side, own seeds"
    frame = pd.DataFrame([{k: row.get(k) for k in ("arm", *CELL, *SAID)} for row in sheets])
    name = f"joint_{slug(f'''{sheets[0]['step_size']:g}''')}_{sheets[0]['mcmc_steps']:g}"
    return canvas.panel(name, heading, frame, partial(figures.side_by_side, columns), figures.joint_size(columns),
                        f"Samples of {len(sheets)} arms, {heading}, each beside its nearest training image")


def _real(canvas: Canvas) -> tuple[str, str, Path, str, pd.DataFrame] | None:
    """What `_panel` needs for the sheet of training data; None where the launch kept none."""
    path = canvas.store.picture(canvas.study.launch["run_id"], "data_samples.png", canvas.out / "cache")
    if path is None:
        return None
    name = str(canvas.study.plan.get("data", {}).get("name", "data"))
    return "samples_data", f"{name}: training data", path, "real, drawn at random", pd.DataFrame([{"data": name}])


def _panel(canvas: Canvas, name: str, heading: str, path: Path, note: str, frame: pd.DataFrame,
           alarm: bool = False) -> Panel:
    return canvas.panel(name, heading, frame, partial(figures.sample_sheet, path, note=note, alarm=alarm), (3.0, 3.2),
                        f"{heading}; {note}")
