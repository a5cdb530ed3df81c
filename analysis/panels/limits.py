"""Where it breaks: predicted and observed limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.panels import axes
from analysis.panels.axes import log_ticks
from analysis.panels.groups import replicates
from analysis.panels.palette import ALARM, INK, LIGHT, PAPER, RULE, colours
from analysis.panels.panel import Figure, Panel, Table
from analysis.panels.thresholds import outside, outside_words
from analysis.read.study import Study, rows
from analysis.stats.cells import ran
from analysis.stats.limits import limits
from analysis.text.formatting import DASH, bounded, brief, number, share
from analysis.text.outcomes import poor_at

TICKS = 12  # step sizes that the axis has room for


class Limits(Panel):
    """T5 and its picture: the law's limits beside what happened."""

    name, title, wide = "limits", "Where it breaks: predicted and observed", True

    def frame(self, study: Study) -> pd.DataFrame:
        return limits(study)

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return len(frame) > 0 and len(_bracketed(frame)) > 0

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> None:
        bracketed, cells = _bracketed(frame), ran(study)
        limit_chart(bracketed, ax, arms=study.arms, levels=list(cells["step_size"].unique()))
        limit_key(bracketed, ax)
        axes.say_n(ax, cells["replicates"], "replicates a step size")

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        n = len(_bracketed(frame))
        return [self.figure(study, frame, size=(4.6, 1.8 + (0.46 if n < 13 else 0.36) * n),
                            alt=f"Predicted and observed step-size limits of {n} rows; the table below holds them")]

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        return [Table(self.name, limit_words(frame), frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return ("A bar spans the step sizes that were run. Full: no replicate diverged here or below; hatched: none "
                "diverged, but most ended with \u03ba > 2, where only time is missing; pale: up to the first level "
                "with a diverged replicate (cross); grey: run beyond it. Red bracket: the limit that the stability law "
                "(E13) gives from the data's local spread, from its smallest to its median direction. Each level has "
                f"{replicates(study, 'design')}.")


def _bracketed(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with several step sizes: of one alone there is nothing to bracket a limit with."""
    return frame[frame["largest"] > frame["smallest"]]


def limit_chart(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str], levels: Sequence[float] = ()) -> Axes:
    """Predicted limit (red band from smallest to median direction) above what was observed, one line per arm and steps.

    frame: `limits`. A bar spans the step sizes that were run. Full: no replicate diverged; hatched: none did,
    but most ended with kappa > 2; pale: up to the first level where one did (cross); grey: run beyond it. What a
    prediction outside of the axis is stands right of it. levels: step sizes that were run, by whatever arm, for the
    ticks; without them, or if they are more than TICKS, the ends and borders have ticks.
    """
    colour, short, labels = colours(arms), brief(arms), []
    left, right = frame["smallest"].min() / 1.25, 1.3 * frame["largest"].max()

    def bar(y: int, start: float, end: float, tint: str, alpha: float = 1.0, hatch: str = "") -> None:
        ax.barh(y, end - start, 0.34, left=start, color="none" if hatch else tint, alpha=alpha, hatch=hatch,
                edgecolor=tint if hatch else "none", lw=0, zorder=2)

    for y, row in enumerate(rows(frame)):
        labels.append(f"{short[row.arm]}, {row.mcmc_steps:g} steps")
        tint, begin = colour[row.arm], row.smallest / 1.06  # a level has a width, so that one level is seen
        bar(y, begin, row.largest * (1.0 if row.largest == row.diverges_from else 1.06), RULE)
        if not math.isnan(row.stable_to):
            calm = min(row.stable_to * 1.06, row.strained_from / 1.06 if row.strained_from > 0 else math.inf)
            bar(y, begin, row.stable_to * 1.06, PAPER)
            bar(y, begin, calm, tint)
            if calm < row.stable_to:
                bar(y, calm, row.stable_to * 1.06, tint, hatch="////")
        if not math.isnan(row.diverges_from):
            bar(y, begin if math.isnan(row.stable_to) else row.stable_to * 1.06, row.diverges_from, tint, alpha=0.35)
            ax.plot(row.diverges_from, y, marker="x", ms=7, mew=2, ls="", color=INK, zorder=5, gid="diverges_from")
        if math.isfinite(row.delta_min) and not math.isnan(row.delta_med):
            _bracket(ax, y - 0.36, (row.delta_min, row.delta_med), (left, right))
        else:
            ax.annotate("no finite limit predicted" if math.isinf(row.delta_min) else "no prediction",
                        (right, y - 0.36), ha="right", va="center", fontsize=7.5, color=ALARM)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.6, -0.75)
    ax.set(xscale="log", xlim=(left, right), xlabel="step size (data units)")
    borders = [v for c in ("smallest", "stable_to", "diverges_from", "largest") for v in frame[c].dropna()]
    here = {v for v in levels if left <= v <= right}  # a tick beyond would widen the axis
    log_ticks(ax, list(here) if 0 < len(here) <= TICKS else borders)
    ax.tick_params(axis="y", colors=INK)
    ax.grid(False)
    return ax


def _bracket(ax: Axes, y: float, limits: tuple[float, float], ends: tuple[float, float]) -> None:
    """From the one predicted limit to the other; an arrow with its value where one lies outside of the axis."""
    low, high = np.clip(limits, *ends)
    ax.plot([low, high], [y] * 2, color=ALARM, lw=3, solid_capstyle="butt", zorder=4, gid="predicted")
    beyond: dict[str, list[float]] = {"<": [], ">": []}
    for value in limits:
        side = outside(value, *ends)
        if side:
            beyond[side].append(value)
        else:
            ax.plot(value, y, ls="", marker="|", ms=8, mew=2, color=ALARM, zorder=4)
    said = []
    for side, values in beyond.items():
        if values:
            ax.plot(ends[0] if side == "<" else ends[1], y, marker=side, ms=5.5, ls="", color=ALARM, zorder=6,
                    clip_on=False, gid="outside")
        if values and all(map(math.isfinite, values)):
            said.append(outside_words(side, values))
    if said:
        ax.annotate("; ".join(said), (ends[1], y), xytext=(7, 0), textcoords="offset points", va="center", fontsize=7,
                    color=ALARM, gid="beyond")


def limit_key(frame: pd.DataFrame, ax: Axes) -> Axes:
    """What the parts of `limit_chart` mean, above it; only the parts that it shows."""
    handles: list[Any] = [Patch(color=LIGHT[0][0], label="none diverged")]  # an example of an arm's colour
    if frame["strained_from"].notna().any():
        handles.append(Patch(fc="none", ec=LIGHT[0][0], hatch="////", lw=0, label="none diverged, \u03ba > 2"))
    if frame["diverges_from"].notna().any():
        handles += [Patch(color=LIGHT[0][0], alpha=0.35, lw=0, label="up to the first diverged"),
                    Line2D([], [], marker="x", ls="", mew=2, color=INK, label="first diverged")]
    if (frame["largest"] > frame["diverges_from"]).any():
        handles.append(Patch(color=RULE, label="run beyond"))
    if np.isfinite(frame["delta_min"]).any():
        handles.append(Line2D([], [], color=ALARM, lw=3, marker="|", ms=8, mew=2, label="predicted limit"))
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderpad=0.2,
              handlelength=1.4, handletextpad=0.5, columnspacing=1.2)
    return ax


def limit_words(frame: pd.DataFrame) -> pd.DataFrame:
    """`limits` for a reader."""
    found = []
    for row in frame.to_dict("records"):
        none = DASH if math.isnan(row["stable_to"]) else (
            f"{row['stable_to']:g} ({share(0, row['stable_n'])}{poor_at(row, 'stable_to')})")
        found.append({
            "arm": row["arm"], "MCMC steps": f"{row['mcmc_steps']:g}",
            **{f"limit, {words}": bounded(row[name], row[f"{name}_low"], row[f"{name}_high"])
               for words, name in (("smallest", "delta_min"), ("median", "delta_med"))},
            "half diverged from": _observed(row), "none up to": none,
            **{words: DASH if math.isnan(row[f"{name}_from"]) else
               f"{row[f'{name}_from']:g} ({share(row[f'{name}_k'], row[f'{name}_n'])}"
               f"{', ' + row['diverges_why'] if name == 'diverges' and row['diverges_why'] else ''}"
               f"{poor_at(row, f'{name}_from')})"
               for words, name in (("first at", "diverges"), ("most from", "mostly"))},
            "outcome": row["outcome"]})
    return pd.DataFrame(found)


def _observed(row: Mapping[Any, Any]) -> str:
    """The observed boundary: `0.14 [0.05, 0.4]`, `> 0.4` where no step size reached one half."""
    if math.isnan(row["half"]):
        return DASH
    low = f"{row['half_low']:g}" if row["half_low"] > 0 else f"< {row['smallest']:g}"
    high = f"{row['half_high']:g}" if math.isfinite(row["half_high"]) else f"> {row['largest']:g}"
    return (number(row["half"], 2) if math.isfinite(row["half"]) else f"> {row['largest']:g}") + f" [{low}, {high}]"
