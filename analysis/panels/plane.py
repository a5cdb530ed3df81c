"""What the maps over step size and MCMC steps share: one row per arm and number of MCMC steps, columns of one width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import Rectangle

from analysis.panels.groups import arm_groups, replicates
from analysis.panels.palette import EMPTY, PAPER, SOFT
from analysis.read.study import Study
from analysis.text.formatting import brief

COLUMN, LETTER = 0.72, 0.075  # inches that a cell needs for its words, and a letter of a row's name
CROWDED = 12  # step sizes beyond which no words are written into the cells
TALL = 16  # rows beyond which the first map has those of the most MCMC steps alone


@dataclass(frozen=True)
class Plane:
    """Where the cells stand. levels: step sizes of the columns; rows: (MCMC steps, arm) -> the row's lower edge."""

    levels: list[float]
    rows: dict[tuple[int, str], int]

    @classmethod
    def of(cls, frame: pd.DataFrame, arms: Sequence[str]) -> Plane:
        """frame: rows of `grid`. Arms that can be compared are neighbours: rows go by MCMC steps, then as the plan."""
        known = {(int(t), a) for t, a in zip(frame["mcmc_steps"], frame["arm"], strict=True)}
        order = sorted(known, key=lambda row: (row[0], list(arms).index(row[1])), reverse=True)
        return cls(sorted(frame["step_size"].unique().tolist()), {row: y for y, row in enumerate(order)})

    @property
    def is_crowded(self) -> bool:
        return len(self.levels) > CROWDED

    @property
    def names(self) -> float:
        """Inches that the rows' names need."""
        return LETTER * max(len(f"{name}, {steps} steps") for (steps, _), name in
                            zip(self.rows, self._names(), strict=True))

    @property
    def across(self) -> float:
        """Inches that the cells need."""
        return max(min(len(self.levels), CROWDED) * COLUMN, 2.2)

    def size(self, high: float) -> tuple[float, float]:
        """Inches at which the cells hold their words. high: of a row."""
        return 0.45 + self.names + self.across, 0.95 + high * len(self.rows)

    def place(self, step: Any) -> Any:
        """Where a step size stands: level k at k + 1/2; between two levels by its logarithm, and on the edge beyond."""
        logs = np.log(np.asarray(self.levels, float))
        middle = (logs[1:] + logs[:-1]) / 2
        ends = [2 * logs[:1] - middle[:1], 2 * logs[-1:] - middle[-1:]] if len(logs) > 1 else [logs - 0.35, logs + 0.35]
        knots = np.sort(np.concatenate([ends[0], logs, middle, ends[1]]))
        return np.interp(np.log(step), knots, np.arange(len(knots)) / 2)

    def plot(self, frame: pd.DataFrame, ax: Axes, value: str, words: Sequence[str], norm: Normalize, colours: Colormap,
             up: float = 0.5) -> Any:
        """Each cell in the colour of its `value` with its words `up` its height; hatched where replicates ran and none
        has a value, grey where none ran, nothing where none is planned. Returns the mesh."""
        values = np.full((len(self.rows), len(self.levels)), np.nan)
        at = [(self.rows[int(t), a], self.levels.index(s)) for t, a, s in
              zip(frame["mcmc_steps"], frame["arm"], frame["step_size"], strict=True)]
        for (y, x), found in zip(at, frame[value], strict=True):
            values[y, x] = found
        mesh = ax.pcolormesh(np.arange(len(self.levels) + 1), np.arange(len(self.rows) + 1),
                             np.ma.masked_invalid(values), norm=norm, cmap=colours, edgecolors=PAPER, linewidth=2)
        for (y, x), text, ran in zip(at, words, frame["replicates"] > 0, strict=True):
            text = "" if self.is_crowded else text
            if np.isnan(values[y, x]):
                _blank(ax, x, y, text, ran, up)
            elif text:
                dark = np.asarray(mesh.to_rgba(values[y, x])[:3]) @ (0.2126, 0.7152, 0.0722) < 0.5
                ax.text(x + 0.5, y + up, text, ha="center", va="center", color="#ffffff" if dark else "#14171a",
                        fontsize=8, linespacing=1.25, gid="cell")
        self._axes(ax)
        return mesh

    def _names(self) -> list[str]:
        short = brief(list(dict.fromkeys(arm for _, arm in self.rows)))
        return [short[arm] for _, arm in self.rows]

    def _axes(self, ax: Axes) -> None:
        ax.set(xlabel="step size (data units)", xlim=(0, len(self.levels)), ylim=(0, len(self.rows)))
        every = 1 if not self.is_crowded else 3
        ax.set_xticks(np.arange(len(self.levels))[::every] + 0.5, [f"{v:g}" for v in self.levels[::every]])
        ax.set_yticks(np.arange(len(self.rows)) + 0.5,
                      [f"{name}, {steps} steps" for (steps, _), name in zip(self.rows, self._names(), strict=True)])
        borders = [y for (a, y), (b, _) in zip(((s, y) for (s, _), y in self.rows.items()),
                                               [*self.rows][:1] + [*self.rows][:-1], strict=True) if a != b]
        for y in borders:
            ax.axhline(y, color=PAPER, lw=6, zorder=2)
        ax.grid(False)
        ax.spines[:].set_visible(False)


def parts(study: Study, frame: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """The maps of these rows of `grid`, as (suffix, heading, rows): one, or if it would be too tall first one of each
    arm's most MCMC steps, then all in groups of arms."""
    if len(frame.drop_duplicates(["arm", "mcmc_steps"])) <= TALL:
        return [("", "", frame)]
    most = frame["mcmc_steps"] == frame.groupby("arm")["mcmc_steps"].transform("max")
    rest = [(f"_all{end}", words or "all MCMC steps", part) for end, words, part in arm_groups(study, frame)]
    return [("", "at each arm's most MCMC steps", frame[most]), *(rest if not most.all() else [])]


def _blank(ax: Axes, x: int, y: int, word: str, ran: bool, up: float) -> None:
    ax.add_patch(Rectangle((x, y), 1, 1, facecolor=PAPER if ran else EMPTY, edgecolor=SOFT if ran else EMPTY,
                           hatch="////" if ran else None, lw=0, zorder=1, gid="no survivor" if ran else "not run"))
    ax.add_patch(Rectangle((x, y), 1, 1, facecolor="none", edgecolor=PAPER, lw=2, zorder=1.5))
    if word:
        ax.text(x + 0.5, y + up, word.replace(" ", "\n", 1), ha="center", va="center", color=SOFT, fontsize=7.5,
                linespacing=1.25, gid="cell", zorder=3,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5} if ran else None)


def each(study: Study) -> str:
    """How many replicates a cell of a map has, as a sentence."""
    words = replicates(study, "design")
    return f"{words[0].upper()}{words[1:]} a cell; grey cells have no finished one."
