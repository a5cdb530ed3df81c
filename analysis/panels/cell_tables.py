"""T1: configurations as rows with counts, intervals and the floor, as numbers and as words."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from analysis.panels.panel import Panel, Table
from analysis.read.study import COSTS, Study, rows
from analysis.stats.cells import best_cells, grid, rates, summaries
from analysis.stats.comparisons import not_separable_from_best
from analysis.stats.inference import Interval, wilson
from analysis.stats.outcomes import poor, reasons
from analysis.text.formatting import DASH, bounds, interval, plus_minus
from analysis.text.outcomes import flagged, gone, verdicts

FLOOR = "floor: real against real"
SHOWN = 3  # quality measures in a main table, beside one cost; the CSV files hold all
NOTE = ("Mean [95 % t interval] over n surviving replicates, of costs too: one that diverged stopped early; diverged: "
        "k/n (reasons) [Wilson 95 %]; poor: so many of the n are of poor quality and may rule the mean; floor: mean "
        "\u00b1 sd.")
BOLD = (" Bold: the best by ranks paired by seed, divergence as worst, and all that Holm's test does not separate "
        "from it; arms with missing replicates take no part. The best is picked on the seeds that it is tested on: of "
        "13 equal arms one or more miss the bold by chance in 15 % of studies (of 6 in 8 %, of 3 in 4 %).")


class MainTable(Panel):
    """One configuration per arm; in bold what cannot be told from the best."""

    @abstractmethod
    def cells(self, study: Study) -> pd.DataFrame:
        """The configurations: rows of `grid`."""

    @abstractmethod
    def caveat(self, study: Study, frame: pd.DataFrame) -> str:
        """How they were chosen."""

    def frame(self, study: Study) -> pd.DataFrame:
        cells = self.cells(study)
        if cells.empty:
            return cells
        strong, _ = not_separable_from_best(study, cells, study.primary, study.lower_is_better)
        bold = cells.loc[cells["arm"].isin(strong), "config_hash"].tolist()
        return main_frame(study, cells, shown(study), bold)

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        return [Table(self.name, main_words(frame, shown(study)), frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        own = "".join(f" {name}: {text}." for name, text in study.described(shown(study)).items())
        return NOTE + self.caveat(study, frame) + (BOLD if frame["bold"].any() else "") + own


class Best(MainTable):
    """Each arm at its best design cell."""

    name, title = "best_cells", "At each arm's best design cell"

    def cells(self, study: Study) -> pd.DataFrame:
        return best_cells(study)

    def caveat(self, study: Study, frame: pd.DataFrame) -> str:
        return " Chosen on the same seeds, so optimistic."


class Every(Panel):
    """Every configuration of a phase, those of the design that were not run too."""

    phase: ClassVar[str]
    late = True

    def frame(self, study: Study) -> pd.DataFrame:
        return every_frame(study, self.phase, shown(study)[:SHOWN])

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        return [Table(self.name, every_words(frame, shown(study)[:SHOWN]), frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return NOTE


class DesignCells(Every):
    """Every cell of the design."""

    name, title, phase = "design_cells", "Every design cell", "design"


class SearchCells(Every):
    """Every finished trial of the search."""

    name, title, phase = "search_cells", "Every finished search trial", "search"


def shown(study: Study) -> list[str]:
    """The measures of a main table: the first SHOWN of quality and one cost; the CSV files hold all."""
    costs = [m for m in study.measures if m in COSTS]
    return [m for m in study.measures if m not in COSTS][:SHOWN] + costs[:1]


def main_frame(study: Study, cells: pd.DataFrame, measures: Sequence[str], bold: Sequence[str] = ()) -> pd.DataFrame:
    """One row per configuration of `cells`, then the floor where the plan has one.

    arm, step_size, mcmc_steps, config_hash, diverged of replicates with Wilson's bounds, reasons (of divergence), poor
    (survivors of poor quality, absent where none was judged), verdict; of each measure the mean over `_n` survivors
    with its t bounds `_low` and `_high`, of the floor its mean and `_sd` over splits of `_n` real samples; bold:
    whether the primary measure is printed so, of the configurations whose hashes `bold` holds. A cell that was not run
    has no numbers.
    """
    frame = summaries(study.finals, list(measures)).set_index(["config_hash", "measure"])
    found: list[dict[str, Any]] = []
    for cell in rows(cells):
        i = wilson(int(cell.diverged), int(cell.replicates))
        row: dict[str, Any] = {
            "arm": cell.arm, "step_size": cell.step_size, "mcmc_steps": cell.mcmc_steps,
            "config_hash": cell.config_hash, "diverged": int(cell.diverged), "replicates": int(cell.replicates),
            "rate_low": i.low, "rate_high": i.high}
        for m in measures:
            known = (cell.config_hash, m) in frame.index
            s = frame.loc[(cell.config_hash, m)] if known else {"mean": np.nan, "low": np.nan, "high": np.nan, "n": 0}
            row |= {m: s["mean"], f"{m}_low": s["low"], f"{m}_high": s["high"], f"{m}_sd": np.nan, f"{m}_n": s["n"]}
        own = study.replicates_of(cell.config_hash)
        found.append({**row, "bold": cell.config_hash in bold, "reasons": reasons(own),
                      "poor": poor(own), "verdict": verdicts(own)})
    if floor := floor_row(study, measures):
        found.append(floor)
    out = pd.DataFrame(found)
    for name in ("mcmc_steps", "diverged", "replicates", "poor", *(f"{m}_n" for m in measures)):
        out[name] = out[name].astype("Int64") if name in out else pd.NA  # whole numbers, absent of the floor
    return out


def floor_row(study: Study, measures: Sequence[str]) -> dict[str, Any]:
    """Real samples against real samples at the same n: what no model can be told apart from. {} without floors."""
    known = {m: study.plan.floors[m] for m in measures if m in study.plan.floors}
    if not known:
        return {}
    return {"arm": FLOOR, "bold": False, "reasons": "", "verdict": "",
            **{k: v for m, f in known.items() for k, v in ((m, f.mean), (f"{m}_sd", f.sd), (f"{m}_n", f.n))}}


def main_words(frame: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """`main_frame` for a reader, row by row: an arm a row, a measure a column; attrs["bold"]: what is printed so."""
    found = []
    for row in frame.to_dict("records"):
        ran = not pd.isna(row["replicates"]) and row["replicates"] > 0
        words = {
            "arm": row["arm"],
            "step size": DASH if pd.isna(row["step_size"]) else f"{row['step_size']:.4g}",
            "MCMC steps": DASH if pd.isna(row["mcmc_steps"]) else f"{row['mcmc_steps']:g}",
            "diverged": f"{gone(row['diverged'], row['replicates'], row['reasons'])} "
                        f"{bounds(wilson(row['diverged'], row['replicates']))}" if ran else DASH}
        measured = {m: _measure(row, m, row["poor"] if m in list(measures)[:1] else pd.NA) for m in measures}
        found.append(words | measured | {"verdict": row["verdict"] or DASH})
    out = pd.DataFrame(found)
    if not frame["verdict"].any():
        out = out.drop(columns="verdict")
    first = list(measures)[:1]
    out.attrs["bold"] = [[i, m] for m in first for i in np.flatnonzero(frame["bold"]).tolist()]
    return out


def _measure(row: Mapping[Any, Any], name: str, poor: Any = pd.NA) -> str:
    """A measure's words; poor: how many of its survivors are of poor quality, said where there is one."""
    if pd.isna(row[name]):
        return DASH
    if row["arm"] == FLOOR:
        return f"{plus_minus(row[name], row[f'{name}_sd'])} (n = {row[f'{name}_n']})"
    i = Interval(row[name], row[f"{name}_low"], row[f"{name}_high"], row[f"{name}_n"])
    return f"{interval(i)} (n = {i.n}{flagged(poor)})"


def every_frame(study: Study, phase: str, measures: Sequence[str], bold: Sequence[str] = ()) -> pd.DataFrame:
    """`main_frame` of every configuration of a phase, with its state; cells that were not run stand there too."""
    if phase == "design":
        cells = grid(study)
    else:
        cells = rates(study.finals[study.finals["phase"] == phase]).assign(state="complete")
    if cells.empty:
        return pd.DataFrame()
    return main_frame(study, cells, measures, bold).iloc[:len(cells)].assign(state=cells["state"].to_numpy())


def every_words(frame: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """`every_frame` for a reader; the states where one is not complete."""
    words = main_words(frame, measures)
    return words.assign(state=frame["state"].to_numpy()) if (frame["state"] != "complete").any() else words
