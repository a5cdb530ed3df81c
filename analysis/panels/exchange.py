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
from analysis.read.study import Study
from analysis.stats.cells import summaries
from analysis.stats.comparisons import confirmed_cells, exchange_comparisons
from analysis.text.formatting import DASH, count, number, share

ROW, COLUMN = 0.5, 1.25  # inches


class Exchange(Panel):
    """A matrix: arms by whose settings they were trained with."""

    name, title, wide = "exchange", "Each arm at the best settings of every other", True

    def frame(self, study: Study) -> pd.DataFrame:
        """A row per trained configuration of the matrix: `arm`, `giver` and `settings` as in `Study.exchange`, `whose`
        (these settings' name), `own`, and its mean."""
        names = dict(zip(*(confirmed_cells(study)[c] for c in ("config_hash", "name")), strict=True))
        means = summaries(study.finals[study.finals["phase"] == "confirm"], [study.primary]).drop(columns="arm")
        found = study.exchange.merge(means, on="config_hash")
        order = {arm: k for k, arm in enumerate(study.arms)}
        found = found.sort_values(["arm", "giver", "settings"], key=lambda c: c.map(order).fillna(0), kind="stable")
        whose = [names.get(own, giver) for own, giver in zip(found["settings"], found["giver"], strict=True)]
        return found.assign(own=found["config_hash"] == found["settings"], whose=whose).reset_index(drop=True)

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return not frame.empty and not frame["own"].all()

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
            " Table: the arm and its baseline with the settings of one of them, on ranks paired by seed; Holm over "
            f"{count(int(tests['family'].iloc[0]), 'comparison')}.")
        return (f"{study.primary}, the mean over survivors of {replicates(study, 'confirm')}, and how many diverged. A "
                "row is an arm, trained with its own best settings, framed, and with what the best of every other arm "
                "has of the knobs that both searched in one range; what it cannot take is its own. Darker is worse; "
                f"shades span at least the median 95 % interval.{table}")


def exchange(frame: pd.DataFrame, ax: Axes, *, lower_is_better: bool) -> Axes:
    """The matrix: a row an arm, a column the settings of one; its mean, and how many diverged. frame: of the panel."""
    import seaborn as sns

    rows = list(dict.fromkeys(frame["arm"]))
    by_giver = frame.sort_values("giver", key=lambda c: c.map({arm: k for k, arm in enumerate(rows)}), kind="stable")
    columns = dict(zip(by_giver["settings"], by_giver["whose"], strict=True))

    def table(values: pd.Series) -> pd.DataFrame:
        known = frame.assign(shown=values).set_index(["arm", "settings"])["shown"]
        return known.unstack().reindex(index=rows, columns=[*columns])

    words = [(DASH if np.isnan(r["mean"]) else number(r["mean"]))
             + (f"\n{share(r['diverged'], r['replicates'])} lost" if r["diverged"] else "")
             for r in frame.to_dict("records")]
    mean = table(frame["mean"])
    text = table(pd.Series(words, frame.index)).fillna("")
    low, high = frame["mean"].quantile([0.02, 0.98])
    more = max(0.0, (frame["high"] - frame["low"]).median() - (high - low)) / 2  # noise has few shades
    sns.heatmap(mean, annot=text, fmt="", vmin=low - more, vmax=high + more, cbar=False, linewidths=1.5, ax=ax,
                cmap="rocket_r" if lower_is_better else "rocket", annot_kws={"fontsize": 8})
    for i, j in np.argwhere(mean.isna().to_numpy()):  # seaborn leaves these empty
        ax.text(j + 0.5, i + 0.5, text.iloc[i, j], ha="center", va="center", fontsize=8)
    ax.grid(False)
    for r in frame[frame["own"]].to_dict("records"):
        at = [*columns].index(r["settings"]), rows.index(r["arm"])
        ax.add_patch(Rectangle(at, 1, 1, fill=False, ec=INK, lw=1.4, gid="own", clip_on=False))
    ax.set(xlabel="with the best settings of", ylabel="")
    ax.tick_params(length=0)
    ax.set_xticklabels([name.replace(" (", "\n(") for name in columns.values()], rotation=0)
    ax.set_yticklabels(rows, rotation=0)
    return ax
