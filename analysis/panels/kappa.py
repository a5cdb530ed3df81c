"""The gauge kappa (E13) of each replicate at the end of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.panels import axes
from analysis.panels.groups import arm_groups, present
from analysis.panels.marks import name_marks
from analysis.panels.palette import ALARM, PAPER, colours, markers
from analysis.panels.panel import Figure, Panel
from analysis.read.study import Study
from analysis.stats.kappa_reasons import CLAMP, CLIP, LATE, UNKNOWN, kappa_reasons
from analysis.text.formatting import count, listed, number


class Kappa(Panel):
    """The gauge of E13 at the end of training."""

    name, title, wide = "kappa", "The gauge \u03ba", True

    def frame(self, study: Study) -> pd.DataFrame:
        frame = kappa_reasons(study)
        return frame.assign(note=[_note(row) for row in frame.to_dict("records")])

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        found = []
        for end, words, part in arm_groups(study, frame):
            steps = listed([f"{steps:g}" for steps in sorted(part["mcmc_steps"].unique())])
            heading = f"{steps} MCMC steps" + (f": {words}" if words else "")
            found.append(self.figure(study, part, end, heading, numbers=part.drop(columns=["config_hash", "note"]),
                                     alt=f"The gauge kappa of each replicate against its step size, {heading}"))
        return found

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> None:
        kappa(frame, ax, arms=study.arms)
        lost = [axes.mark("o", "open: diverged")] if frame["diverged"].any() else []
        axes.legend(study.arms, ax, present=present(study, frame), extra=lost)
        axes.say_n(ax, frame.groupby(["arm", "step_size"]).size(), "replicates an arm and step size")

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return ("\u03ba = step size\u00b2/2 \u00d7 the largest curvature at the particles: median of the last quarter "
                f"of each of {count(len(frame), 'replicate')}, sideways by arm. Open marks diverged."
                f"{_why(frame['reason'].value_counts())}")


def _why(n: pd.Series) -> str:
    """How many survivors end above 2, and for how many it is known what keeps them from diverging."""
    why = {CLIP: "a bound cut their drifts", CLAMP: "their pixels are clamped",
           LATE: "the last evaluation alone saw it, and training ended", UNKNOWN: "the study does not know why"}
    said = [f"{n[name]}: {words}" for name, words in why.items() if name in n]
    if not said:
        return ""
    alone = (" \u03ba is a maximum: one particle and one direction are enough to raise it, and need not carry the "
             "others away.") if UNKNOWN in n else ""
    return (f" {count(int(n.drop('', errors='ignore').sum()), 'replicate')} above 2 did not diverge "
            f"({'; '.join(said)}).{alone}")


def _note(row: Mapping[Any, Any]) -> str:
    """Of one replicate: since when it is above 2, and what is known of why it did not diverge; "" of others."""
    if not row["reason"]:
        return f"\u03ba {number(row['kappa'])}"
    ratio = row["drift_ratio"]
    mean = f" (the mean drift is {number(ratio, 2)} of the noise)" if ratio == ratio else ""
    why = {CLIP: f"{row['bound']} cut {number(100 * row['clip_fraction'], 2)} % of its drifts",
           CLAMP: "clamp puts its pixels back after each step",
           LATE: "training ended there",
           UNKNOWN: f"what keeps it from diverging is not known{mean}"}[row["reason"]]
    return f"\u03ba {number(row['kappa'])}, first above 2 at update {row['first_above']:g} of {row['last']:g}: {why}"


def kappa(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str]) -> Axes:
    """The gauge of each replicate (median of its last quarter) by step size; open where it diverged.

    frame: `arm`, `step_size`, `seed`, `kappa`, `diverged`. Lines: feedback inverts at 1, the sampler breaks at 2.
    """
    colour, marker = colours(arms), markers(arms)
    shown, levels = [a for a in arms if a in set(frame["arm"])], np.sort(frame["step_size"].unique())
    room = 0.85 / len(shown)  # of an arm, so that levels stay apart
    for k, arm in enumerate(shown):
        own = frame[(frame["arm"] == arm) & (frame["kappa"] > 0)]
        turn = own.groupby("step_size")["seed"].rank(method="first")
        x = np.searchsorted(levels, own["step_size"]) + room * (
            k - (len(shown) - 1) / 2 + 0.6 * (turn / turn.max() - 0.5))
        for gone in (False, True):
            here = own["diverged"] == gone
            [line] = ax.plot(x[here], own.loc[here, "kappa"], marker=marker[arm], ls="", ms=5, color=colour[arm],
                             mfc="none" if gone else colour[arm], mec=colour[arm] if gone else PAPER,
                             mew=1.2 if gone else 0.4, label=None if gone else arm, gid="replicate")
            name_marks(line, own[here])
    ax.set(yscale="log", xlim=(-0.5, len(levels) - 0.5), xlabel="step size (data units)",
           ylabel="\u03ba, median of the last quarter")
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.8), max(high, 2.6))
    for level, text, up in ((1, "\u03ba = 1: training feedback inverts", -10), (2, "\u03ba = 2: sampler breaks", 3)):
        ax.axhline(level, color=ALARM, lw=1, dashes=(4, 3), zorder=0)
        ax.annotate(text, (0.01, level), xycoords=("axes fraction", "data"), xytext=(0, up),
                    textcoords="offset points", fontsize=7.5, color=ALARM)
    ax.set_xticks(range(len(levels)), [f"{v:g}" for v in levels])
    low, high = ax.get_ylim()
    ticks = [t for e in range(-6, 7) for t in (10.0**e, 3 * 10.0**e) if low <= t <= high]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    return ax
