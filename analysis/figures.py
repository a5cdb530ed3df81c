"""The figures. Each draws one tidy frame on one axes and returns it: `f(frame, ax) -> ax`. No chance, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.frames import rows
from analysis.inference import t_interval
from analysis.palette import ALARM, INK, PAPER, RULE, SOFT, colours, markers


def limit_chart(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str]) -> Axes:
    """Predicted limit (red band from smallest to median direction) above what was observed, a line an arm and steps.

    frame: `tables.limits`. Full bar: no replicate diverged; pale: up to the first level where one did (cross); grey:
    ran beyond it.
    """
    colour, labels = colours(arms), []
    left, right = 0.8 * frame["smallest"].min(), 1.3 * frame["largest"].max()
    for y, row in enumerate(rows(frame)):
        labels.append(f"{row.arm}, {row.mcmc_steps:g} steps")
        if not math.isnan(row.smallest):
            ax.plot([left, row.largest], [y, y], color=RULE, lw=7, solid_capstyle="butt", zorder=1)
        if not math.isnan(row.stable_to):
            ax.plot([left, row.stable_to], [y, y], color=colour[row.arm], lw=7, solid_capstyle="butt", zorder=2)
        if not math.isnan(row.diverges_from):
            start = left if math.isnan(row.stable_to) else row.stable_to
            ax.plot([start, row.diverges_from], [y, y], color=colour[row.arm], lw=7, alpha=0.35, solid_capstyle="butt")
            ax.plot(row.diverges_from, y, marker="x", ms=7, mew=2, color=INK, zorder=5)
        if math.isfinite(row.delta_min) and math.isfinite(row.delta_med):
            low, high = np.clip([row.delta_min, row.delta_med], left, right)
            ax.plot([low, high], [y - 0.33] * 2, color=ALARM, lw=3, solid_capstyle="butt", zorder=4)
            ax.plot([low, high], [y - 0.33] * 2, ls="", marker="|", ms=8, mew=2, color=ALARM, zorder=4)
        elif math.isinf(row.delta_min):
            ax.annotate("no finite limit", (right, y - 0.33), ha="right", va="center", fontsize=7.5, color=SOFT)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.75)
    ax.set(xscale="log", xlim=(left, right), xlabel="step size (data units)")
    _log_ticks(ax, [v for c in ("smallest", "stable_to", "diverges_from", "largest") for v in frame[c].dropna()])
    ax.tick_params(axis="y", colors=INK)
    ax.grid(False)
    return ax


def learning_curves(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """Every replicate a thin line; mean and t band while all replicates of the arm live, ending in a cross where one
    diverges: after that the mean would be one over survivors only. The scale is that of the survivors: one replicate
    on its way to infinity would flatten all others; it leaves through the top, its cross on the edge.

    frame: curves of one cell with `arm`, `seed`, `update`, `diverged`, `measure`.
    """
    colour = colours(arms)
    calm = frame.loc[~frame["diverged"].astype(bool), measure]
    first = frame.sort_values("update").groupby(["arm", "seed"])[measure].first()
    top = 1.08 * max(calm.max(), first.max()) if calm.notna().any() else math.inf
    for arm in [a for a in arms if a in set(frame["arm"])]:
        wide = frame[frame["arm"] == arm].pivot(index="update", columns="seed", values=measure)
        gone = set(frame.loc[(frame["arm"] == arm) & frame["diverged"], "seed"])
        for seed in wide.columns:
            line = wide[seed].dropna()
            ax.plot(line.index, line, color=colour[arm], lw=0.7, alpha=0.45, gid="replicate")
            if seed in gone and len(line):
                ax.plot(
                    line.index[-1],
                    min(line.iloc[-1], top),
                    marker="x",
                    ms=6,
                    mew=1.6,
                    ls="",
                    color=colour[arm],
                    gid="diverged",
                    clip_on=False,
                )
        whole = wide.dropna()
        if len(whole) and wide.shape[1] > 1:
            band = [t_interval(row) for row in whole.to_numpy()]
            ax.fill_between(
                whole.index, [b.low for b in band], [b.high for b in band], color=colour[arm], alpha=0.18, lw=0
            )
            ax.plot(whole.index, [b.estimate for b in band], color=colour[arm], lw=2, label=arm)
            if gone:
                end = min(band[-1].estimate, top)
                ax.plot(whole.index[-1], end, marker="X", ms=9, mec=PAPER, ls="", color=colour[arm], clip_on=False)
    if math.isfinite(top):
        ax.set_ylim(min(0.0, frame[measure].min()), top)
    ax.set(xlabel="update", ylabel=measure)
    return ax


def replicate_dots(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """Every replicate a dot at its step size, arms side by side; the diverged as crosses on their own line on top.

    frame: finals of one number of MCMC steps.
    """
    colour, marker = colours(arms), markers(arms)
    steps = sorted(frame["step_size"].unique())
    shown = [a for a in arms if a in set(frame["arm"])]
    alive = frame.loc[~frame["diverged"], measure].dropna()
    room, most = 0.84 / len(shown), int(frame.groupby(["arm", "step_size"]).size().max())
    top = (alive.max() + 0.14 * max(np.ptp(alive), 1e-9)) if len(alive) else 1.0
    for k, arm in enumerate(shown):
        own = frame[frame["arm"] == arm].sort_values("seed")
        spread = own.groupby("step_size")["seed"].rank(method="first") - 1
        x = own["step_size"].map(steps.index) + room * (
            k - (len(shown) - 1) / 2 + 0.8 * (spread - (most - 1) / 2) / most
        )
        gone = own["diverged"].to_numpy(bool)
        ax.plot(
            x[~gone],
            own.loc[~gone, measure],
            marker=marker[arm],
            ls="",
            ms=4.5,
            color=colour[arm],
            mec=PAPER,
            mew=0.4,
            label=arm,
            gid="survived",
        )
        ax.plot(
            x[gone], np.full(int(gone.sum()), top), marker="x", ls="", ms=5, mew=1.3, color=colour[arm], gid="diverged"
        )
    ax.axhline(top, color=RULE, lw=0.8, zorder=0)
    ax.annotate("diverged", (-0.48, top), xytext=(0, 4), textcoords="offset points", fontsize=7.5, color=SOFT)
    ax.set_xticks(range(len(steps)), [f"{s:g}" for s in steps])
    ax.set_xlim(-0.5, len(steps) - 0.5)
    ax.set_ylim(top=top + 0.12 * (top - min(alive.min(), top) if len(alive) else 1.0))
    ax.set(xlabel="step size (data units)", ylabel=measure)
    return ax


def kappa(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str]) -> Axes:
    """The gauge of each replicate (median of its last quarter) by step size; open where it diverged.

    frame: `arm`, `step_size`, `seed`, `kappa`, `diverged`. Lines: feedback inverts at 1, the sampler breaks at 2.
    """
    colour, marker = colours(arms), markers(arms)
    shown = [a for a in arms if a in set(frame["arm"])]
    for k, arm in enumerate(shown):
        own = frame[(frame["arm"] == arm) & (frame["kappa"] > 0)]
        turn = own.groupby("step_size")["seed"].rank(method="first")
        x = own["step_size"] * 1.09 ** (k - (len(shown) - 1) / 2) * 1.006 ** (turn - turn.max() / 2)
        for gone in (False, True):
            here = own["diverged"] == gone
            ax.plot(
                x[here],
                own.loc[here, "kappa"],
                marker=marker[arm],
                ls="",
                ms=5,
                color=colour[arm],
                mfc="none" if gone else colour[arm],
                mec=colour[arm] if gone else PAPER,
                mew=1.2 if gone else 0.4,
                label=None if gone else arm,
                gid="replicate",
            )
    ax.set(xscale="log", yscale="log", xlabel="step size (data units)", ylabel="\u03ba at the end (log scale)")
    low, high = ax.get_ylim()
    ax.set_ylim(low, max(high, 2.6))
    for level, text in ((1, "\u03ba = 1: training feedback inverts"), (2, "\u03ba = 2: sampler breaks")):
        ax.axhline(level, color=ALARM, lw=1, dashes=(4, 3), zorder=0)
        ax.annotate(
            text,
            (0.01, level),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=7.5,
            color=ALARM,
        )
    _log_ticks(ax, sorted(frame["step_size"].unique()))
    low, high = ax.get_ylim()
    ticks = [t for e in range(-6, 7) for t in (10.0**e, 3 * 10.0**e) if low <= t <= high]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    return ax


def search_trials(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """Search, shown as search: each finished trial's mean at its step size; crosses where all seeds diverged.

    frame: `summaries` of the search phase.
    """
    colour, marker = colours(arms), markers(arms)
    for arm in [a for a in arms if a in set(frame["arm"])]:
        own = frame[(frame["arm"] == arm) & (frame["n"] > 0)]
        ax.plot(own["step_size"], own["mean"], marker=marker[arm], ls="", ms=6, color=colour[arm], mec=PAPER, label=arm)
        gone = frame[(frame["arm"] == arm) & (frame["n"] == 0)]
        ax.plot(
            gone["step_size"],
            np.full(len(gone), 0.97),
            marker="x",
            ls="",
            ms=6,
            mew=1.5,
            color=colour[arm],
            transform=ax.get_xaxis_transform(),
        )
    ax.set(xscale="log", xlabel="step size (data units)", ylabel=f"{measure}, mean over survivors")
    ends = np.geomspace(frame["step_size"].min(), frame["step_size"].max(), 4)
    _log_ticks(ax, [float(f"{v:.2g}") for v in ends])
    return ax


def survival_curves(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str]) -> Axes:
    """Share of the replicates that have not diverged against the update (Kaplan and Meier), with pointwise bounds.

    frame: `horizons.survival` of each arm, with `arm`. A line that ends before the right edge has its last replicate
    diverged there.
    """
    colour, marker = colours(arms), markers(arms)
    for k, arm in enumerate(a for a in arms if a in set(frame["arm"])):
        own = frame[frame["arm"] == arm]
        ax.fill_between(own["update"], own["low"], own["high"], step="post", color=colour[arm], alpha=0.12, lw=0)
        lift = 0.008 * k  # lines that coincide at 1 stay visible
        ax.step(own["update"], own["alive"] + lift, where="post", color=colour[arm], lw=1.8, label=arm, gid="alive")
        inner = own[own["alive"].diff() < 0]
        ax.plot(inner["update"], inner["alive"] + lift, marker=marker[arm], ms=4.5, mec=PAPER, mew=0.4, ls="",
                color=colour[arm], gid="diverged")
    ax.set(xlim=(0, frame["update"].max()), ylim=(-0.03, 1.09), xlabel="update", ylabel="share not diverged")
    return ax


def limit_by_horizon(
    frame: pd.DataFrame, ax: Axes, *, predicted: tuple[float, float], colour: str, levels: Sequence[float]
) -> Axes:
    """The step size at which half of one arm's replicates have diverged against the horizon, within its bounds.

    frame: `horizons.limits_by_horizon` of one arm and number of MCMC steps. predicted: the law's limit in the smallest
    and the median direction; infinite where it has none, NaN where it says nothing. levels: step sizes that were run.
    A triangle on the upper edge: the limit lies beyond the largest of them.
    """
    low, high = min(levels) / 1.15, max(levels) * 1.25
    x = frame["horizon"]
    ax.fill_between(x, frame["low"].clip(low, high), frame["high"].clip(low, high), step="post", color=colour,
                    alpha=0.18, lw=0)
    seen = np.isfinite(frame["limit"])
    ax.step(x, frame["limit"].where(seen), where="post", color=colour, lw=1.4)
    ax.plot(x[seen], frame.loc[seen, "limit"], marker="o", ms=4, ls="", color=colour, gid="limit")
    ax.plot(x[~seen], np.full(int((~seen).sum()), high / 1.06), marker="^", ms=4, ls="", color=colour, gid="beyond")
    for value, dashes in zip(predicted, ("-", "--"), strict=True):
        if math.isfinite(value):
            ax.axhline(value, color=ALARM, lw=1.4, ls=dashes)
    if math.isinf(predicted[0]):
        ax.annotate("no finite limit predicted", (0.98, 0.03), xycoords="axes fraction", ha="right", fontsize=7.5,
                    color=ALARM)
    ax.set(xscale="log", yscale="log", ylim=(low, high), xlabel="horizon (updates)", ylabel="step size (data units)")
    _log_ticks(ax, [u for u in x if str(u).strip("0") in ("1", "3") and u < 0.6 * x.max()] + [int(x.max())])
    ax.set_yticks(sorted(set(levels)), [f"{v:g}" for v in sorted(set(levels))], minor=False)
    ax.tick_params(axis="y", which="minor", labelleft=False)
    return ax


def sample_sheet(frame: pd.DataFrame, ax: Axes) -> Axes:
    """One replicate's sample sheet, pixel for pixel. frame: one row with `path`, `arm`, `seed`, `verdict`."""
    from PIL import Image

    row = next(iter(rows(frame)))
    with Image.open(row.path) as picture:
        grey = picture.mode in ("L", "1", "I;16")
        ax.imshow(
            np.asarray(picture.convert("L" if grey else "RGB")), cmap="gray", vmin=0, vmax=255, interpolation="none"
        )
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(f"seed {row.seed}, {row.verdict}", color=ALARM if row.verdict == "diverged" else SOFT, fontsize=8.5)
    return ax


def legend(arms: Sequence[str], ax: Axes, *, dots: bool = True) -> Axes:
    """One key to the arms, in the plan's order, above the axes."""
    colour, marker = colours(arms), markers(arms)
    handles = [
        Line2D([], [], color=colour[a], marker=marker[a] if dots else "", ls="" if dots else "-", ms=6, label=a)
        for a in arms
    ]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=4,
        borderpad=0.2,
        handletextpad=0.4,
        columnspacing=1.2,
    )
    return ax


def _log_ticks(ax: Axes, at: Sequence[float]) -> None:
    """Ticks at the levels that were run, and no others."""
    ticks = sorted(set(at))
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
