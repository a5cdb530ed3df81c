"""Each arm at the best settings of every other: the method, or what its search found?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.panels.compared import compared_words
from analysis.panels.groups import replicates
from analysis.panels.palette import INK
from analysis.panels.panel import Figure, Panel, Table
from analysis.read.study import CELL, Study
from analysis.stats.cells import summaries
from analysis.stats.comparisons import confirmed_cells, exchange_comparisons
from analysis.text.formatting import DASH, count, number, share

ROW, COLUMN = 0.5, 1.25  # inches


class Exchange(Panel):
    """A matrix: arms by whose settings they were trained with."""

    name, title, wide = "exchange", "Each arm at the best settings of every other", True

    def frame(self, study: Study) -> pd.DataFrame:
        """A row per confirmed configuration that stands in the matrix, with `settings`: the name of whose it has."""
        cells = confirmed_cells(study)
        givers = set(cells["of"]) - {""}
        if not givers:
            return pd.DataFrame()
        cells = cells[(cells["of"] != "") | cells["config_hash"].isin(givers)]
        names = dict(zip(cells["config_hash"], cells["name"], strict=True))
        means = summaries(study.finals[study.finals["phase"] == "confirm"], [study.primary])
        found = cells[["config_hash", "arm", "of"]].merge(
            means[["config_hash", *CELL, "replicates", "diverged", "mean", "low", "high", "n"]], on="config_hash")
        own = found["of"].where(found["of"] != "", found["config_hash"])  # whose settings
        return found.assign(settings=own.map(names), own=found["of"] == "").drop(columns="of").dropna(subset="settings")

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        size = (2.0 + COLUMN * frame["settings"].nunique(), 1.3 + ROW * frame["arm"].nunique())
        return [self.figure(study, frame, size=size, alt="Each arm's mean at its own and at each other arm's settings")]

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> None:
        exchange(frame, ax, lower_is_better=study.lower_is_better)

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        tests = exchange_comparisons(study)
        return [] if tests.empty else [Table("exchange_comparisons", compared_words(tests, study),
                                             tests.drop(columns="test"))]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        tests = exchange_comparisons(study)
        table = "" if tests.empty else (
            " Table: the arm and its baseline at the same settings, on ranks paired by seed; Holm over "
            f"{count(int(tests['family'].iloc[0]), 'comparison')}.")
        return (f"{study.primary}, the mean over survivors of {replicates(study, 'confirm')}, and how many diverged. A "
                "row is trained with its own best settings, framed, and with what the best of every other arm has of "
                f"the knobs that both searched. Darker is worse.{table}")


def exchange(frame: pd.DataFrame, ax: Axes, *, lower_is_better: bool) -> Axes:
    """The matrix: a row an arm, a column the settings of one; its mean, and how many diverged. frame: of the panel."""
    import seaborn as sns

    own = frame[frame["own"]]
    rows, columns = list(dict.fromkeys(own["arm"])), list(own["settings"])

    def table(values: pd.Series) -> pd.DataFrame:
        return frame.assign(shown=values).pivot(index="arm", columns="settings", values="shown").loc[rows, columns]

    words = [(DASH if np.isnan(r["mean"]) else number(r["mean"]))
             + (f"\n{share(r['diverged'], r['replicates'])} lost" if r["diverged"] else "")
             for r in frame.to_dict("records")]
    mean = table(frame["mean"])
    text = table(pd.Series(words, frame.index)).fillna("")
    sns.heatmap(mean, annot=text, fmt="", robust=True, cbar=False, cmap="rocket_r" if lower_is_better else "rocket",
                linewidths=1.5, ax=ax, annot_kws={"fontsize": 8})
    for i, j in np.argwhere(mean.isna().to_numpy()):  # seaborn leaves these empty
        ax.text(j + 0.5, i + 0.5, text.iloc[i, j], ha="center", va="center", fontsize=8)
    ax.grid(False)
    for r in own.to_dict("records"):
        ax.add_patch(Rectangle((columns.index(r["settings"]), rows.index(r["arm"])), 1, 1, fill=False, ec=INK, lw=1.4,
                               gid="own", clip_on=False))
    ax.set(xlabel="with the best settings of", ylabel="")
    ax.tick_params(length=0)
    ax.set_xticklabels([name.replace(" (", "\n(") for name in columns], rotation=0)
    ax.set_yticklabels(rows, rotation=0)
    return ax
