"""F8: sample sheets on a common seed, methods side by side, real data first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.panels import sheets
from analysis.panels.groups import OPEN
from analysis.panels.panel import Figure, Panel
from analysis.read.study import CELL, Study
from analysis.stats.cells import best_cells, common_cell, ran
from analysis.stats.comparisons import compared_cells
from analysis.text.formatting import slug
from study.schema.outcomes import ending

SAID = ("seed", "verdict", "flags", "reason")  # of the replicate that a sheet shows
BEST, CONFIRMED = 2, 3  # groups of sheets whose cells differ
WHERE = {BEST: "each arm at its best design cell, ", CONFIRMED: "each arm at its best confirmed settings, "}
CHAINS = 6  # rows of the joint figure
TRIES = 3  # common seeds looked at for one whose sheets were all kept


class Samples(Panel):
    """Sheets of one seed: at each arm's declared cell, at the cell with the widest span of divergence rates, at each
    arm's best design cell, at its best confirmed settings."""

    name, title, folded = "samples", "Samples", "the sheets of single arms"

    def frame(self, study: Study) -> pd.DataFrame:
        """A row per sheet, with its configuration's replicate. group: 0 at the declared cells, 1 at the widest span,
        BEST, CONFIRMED. samples, nearest: paths, None where not kept. common: it has the seed of its group. own: its
        group has no common seed."""
        if study.pictures is None:
            return pd.DataFrame()
        groups = [*self._of_design(study), list(best_cells(study, "confirm")["config_hash"])]
        return pd.DataFrame([{**row, "group": k} for k, hashes in enumerate(groups) for row in _sheets(study, hashes)])

    def _of_design(self, study: Study) -> tuple[list[str], list[str], list[str]]:
        """Configurations of the first three groups."""
        cells = ran(study)
        if common_cell(study) is None or cells.empty:
            return [], [], []
        span = cells.groupby(CELL)["rate"].agg(lambda r: r.max() - r.min()).sort_values(ascending=False, kind="stable")
        widest = cells.set_index(CELL).loc[[span.index[0]]] if span.iloc[0] > 0 else cells.iloc[:0]
        declared = list(compared_cells(study)["config_hash"])
        other = [h for h in widest["config_hash"] if h not in declared]
        best = list(best_cells(study)["config_hash"])
        return declared, other, best if set(best) not in (set(declared), set(other)) else []

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return len(frame) > 0 and bool(frame["samples"].notna().any())

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        found: list[Figure] = []
        for k, some in frame.groupby("group"):
            known = {figure.name for figure in found}
            group = [figure for figure in _group(study, [_plain(row) for row in some.to_dict("records")], int(str(k)))
                     if figure.name not in known]
            later = bool(found) or sum(not _is_joint(figure) for figure in group) > OPEN
            found += [replace(figure, folded=later and not _is_joint(figure)) for figure in group]
        real, name = _real(study), study.plan.data.name
        first = [_figure(study, "samples_data", f"{name}: training data", real, "real, drawn at random",
                         pd.DataFrame([{"data": name}]))] if real and found else []
        return [*first, *found]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return ("One seed for all arms, so that all start from the same noise: the smallest at which every arm shown "
                "survived that has a survivor, not the best. At the declared cells, at the cell where the arms' "
                "divergence rates differ most, at each arm's best design cell, and at its best settings among the "
                "confirmed, with verdict and flags."
                + (" Where no seed survived in all arms each shows its own first survivor, as the note says."
                   if frame["own"].any() else "")
                + (" Nearest: training images that are nearest in pixels, right of a sample in the joint figure, else "
                   "right below." if frame.loc[frame["samples"].notna(), "nearest"].notna().any() else "")
                + (" First: training data." if _real(study) else ""))


def _sheets(study: Study, hashes: list[str]) -> list[dict[str, Any]]:
    """A sheet of each of these configurations, of the first common seed whose sheets were all kept; where there is
    none each has its own first."""
    chosen, common = chosen_seeds(study.finals[study.finals["config_hash"].isin(hashes)], study.arms)
    for seed in common[:TRIES]:
        found = [_fetch(study, row | _at(study.finals, row, seed)) for row in chosen]
        if all(sheet["samples"] for sheet in found if sheet["verdict"] != "diverged"):
            return [{**sheet, "own": False} for sheet in found]
    return [{**_first_kept(study, row), "own": True} for row in chosen]


def chosen_seeds(found: pd.DataFrame, arms: list[str]) -> tuple[list[dict[str, Any]], list[int]]:
    """One row of `found` (finals) a configuration, that of its first survivor or else its first seed, in the order of
    arms; and the seeds, smallest first, that survived wherever any did. Empty where there is none."""
    rows, alive = [], []
    for _, own in found.groupby("config_hash"):
        first = own.sort_values(["diverged", "seed"]).iloc[0]
        lost = int(own["diverged"].sum())
        rows.append({**{str(k): v for k, v in first.items()}, "lost": f"{lost}/{len(own)} diverged" if lost else ""})
        if not first["diverged"]:
            alive.append(set(own.loc[~own["diverged"].astype(bool), "seed"].astype(int)))
    return (sorted(rows, key=lambda row: (arms.index(row["arm"]), row["step_size"])),
            sorted(set.intersection(*alive)) if alive else [])


def _at(finals: pd.DataFrame, row: dict[str, Any], seed: int) -> dict[str, Any]:
    """Seed, verdict and flags of the same configuration at another seed; nothing where it has none."""
    other = finals[(finals["config_hash"] == row["config_hash"]) & (finals["seed"] == seed)]
    return {"common": True, **{name: other[name].iloc[0] for name in SAID if name in other}} if len(other) else {}


def _fetch(study: Study, row: dict[str, Any]) -> dict[str, Any]:
    """The row with the paths of its replicate's two sheets, None where a sheet was not kept."""
    assert study.pictures is not None
    return {**row, **{kind: study.pictures.sheet(kind, row["config_hash"], int(row["seed"]))
                      for kind in ("samples", "nearest")}}


def _first_kept(study: Study, row: dict[str, Any]) -> dict[str, Any]:
    """`_fetch` of the same configuration's first replicate with a sheet, survivors first; the row without any else."""
    every = study.replicates_of(row["config_hash"]).sort_values(["diverged", "seed"])
    found = (_fetch(study, {**row, **{str(k): v for k, v in other.items()}}) for other in every.to_dict("records"))
    return next((sheet for sheet in found if sheet["samples"] is not None), {**row, "samples": None, "nearest": None})


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """A row of the frame, in which what a sheet lacks is None (pandas makes it NaN beside others that have it)."""
    return {str(k): None if pd.api.types.is_scalar(v) and pd.isna(v) else v for k, v in row.items()}


def _is_joint(figure: Figure) -> bool:
    return figure.name.startswith("joint")


def _group(study: Study, found: list[dict[str, Any]], group: int) -> list[Figure]:
    """The joint figure of these sheets, in which an arm that has none is named, then each alone."""
    there = [sheet for sheet in found if sheet["samples"] is not None]
    figures = [_joint(study, found, group)] if there and len(found) > 1 else []
    for row in there:
        heading = f"{row['arm']} at {row['step_size']:.4g}, {row['mcmc_steps']:g} steps"
        note = f"{'' if row.get('common') else 'own '}seed {int(row['seed'])}, {ending(row)}"
        step, i = slug(f"{row['step_size']:g}"), study.arms.index(row["arm"])
        end = f"{step}_{row['mcmc_steps']:g}_{i}_{slug(row['arm'])}"
        figures += [_figure(study, f"{kind}_{end}", title, row[kind], note, _said([row]), row["verdict"] == "diverged")
                    for kind, title in (("samples", heading), ("nearest", f"{heading}: nearest training images"))
                    if row[kind] is not None]
    return figures


def _said(found: Iterable[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{k: row.get(k) for k in ("arm", *CELL, *SAID)} for row in found])


def _joint(study: Study, found: list[dict[str, Any]], group: int) -> Figure:
    """One column per arm, one row per chain: as it goes into a paper."""
    shape = study.plan.data.shape
    columns = [sheets.Column(
        f"{row['arm']}\n{row['step_size']:.4g}, {row['mcmc_steps']:g} steps"
        + (("\ndiverged" if row["verdict"] == "diverged" else "\nno sheet") if row["samples"] is None else
           "" if row.get("common") else f"\nseed {int(row['seed'])}"),
        sheets.cut(row["samples"], shape, CHAINS) if row["samples"] else [],
        sheets.cut(row["nearest"], shape, CHAINS, nearest=True) if row["nearest"] and len(shape) == 3 else [],
        row["verdict"] == "diverged", "; ".join(filter(None, (ending(row), row["lost"])))) for row in found]
    real = _real(study)
    if real is not None:
        columns.insert(0, sheets.Column("training data", sheets.cut(real, shape, CHAINS), []))
    seeds = sorted({int(row["seed"]) for row in found if row["samples"]})
    heading = WHERE.get(group, "side by side, ") + (
        f"seed {seeds[0]}" if len(seeds) == 1 else "own seeds")
    first = found[0]
    where = f"{slug(f'''{first['step_size']:g}''')}_{first['mcmc_steps']:g}"
    name = {BEST: "joint_best", CONFIRMED: "joint_confirmed"}.get(group, f"joint_{where}")
    return Figure(name, heading, _said(found), partial(sheets.side_by_side, columns), sheets.joint_size(columns),
                  f"Samples of {len(found)} arms, {heading}, each beside its nearest training image")


def _real(study: Study) -> Path | None:
    """The sheet of training data; None where the launch kept none."""
    return study.pictures.data() if study.pictures else None


def _figure(study: Study, name: str, heading: str, path: Path, note: str, frame: pd.DataFrame, alarm: bool = False
            ) -> Figure:
    plot = partial(sheets.sample_sheet, path, shape=study.plan.data.shape, note=note, alarm=alarm)
    return Figure(name, heading, frame, plot, (3.0, 3.2), f"{heading}; {note}")
