"""Time to divergence. `f(frame, ax) -> ax`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.key import HATCHED, band
from analysis.palette import PAPER, SOFT, colours, dashes, hatches, markers
from analysis.wording import brief

APART = 0.07  # of the axis' height, between two lines of words at its right edge


def survival_curves(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str],
                    censored: pd.DataFrame | None = None, masked: pd.DataFrame | None = None) -> Axes:
    """Share of the replicates that have not diverged against the update (Kaplan and Meier), with pointwise bounds.

    frame: `horizons.survival` of each arm, with `arm`. A line that ends before the right edge has its last replicate
    diverged there. censored: `horizons.censored` of each arm, upright ticks on its line. masked: `masked_ends` of each
    arm, an open mark at the last update at the share that is left with them, below a dotted line: no event is drawn, as
    its time is unknown. Beyond HATCHED arms the bounds
    are drawn at the last update alone, and the arms named there: lines on each other are not told apart.
    """
    colour, marker, line, hatch = colours(arms), markers(arms), dashes(arms), hatches(arms)
    shown, end = [a for a in arms if a in set(frame["arm"])], float(frame["update"].max())
    few = len(shown) <= HATCHED
    hidden = {} if masked is None else {arm: own.iloc[-1] for arm, own in masked.groupby("arm")}
    for k, arm in enumerate(shown):
        own = frame[frame["arm"] == arm]
        if few:
            band(ax, own["update"], own["low"], own["high"], colour[arm], hatch[arm], step="post")
        else:
            at, last = end * (1.015 + 0.018 * k), hidden.get(arm, own.iloc[-1])
            ax.plot([at, at], [last["low"], last["high"]], color=colour[arm], lw=1.4, gid="bounds")
            if arm not in hidden:
                ax.plot(at, last["alive"], marker=marker[arm], ms=4.5, mec=PAPER, mew=0.4, ls="", color=colour[arm])
        if arm in hidden:
            x, rest = end if few else at, hidden[arm]["alive"]
            ax.plot([x, x], [own["alive"].iloc[-1], rest], color=colour[arm], lw=1, ls=":", gid="unknown")
            ax.plot(x, rest, marker=marker[arm], ms=6, mew=1.3, mfc=PAPER, mec=colour[arm], ls="", clip_on=False,
                    zorder=4, gid="masked")
        if censored is not None:
            early = censored[censored["arm"] == arm]
            ax.plot(early["update"], early["alive"], marker="|", ms=8, mew=1.4, ls="", color=colour[arm],
                    gid="censored")
        ax.step(own["update"], own["alive"], where="post", color=colour[arm], lw=1.8, ls=line[arm], label=arm,
                gid="alive")
        inner = own[own["alive"].diff() < 0]
        ax.plot(inner["update"], inner["alive"], marker=marker[arm], ms=4.5, mec=PAPER, mew=0.4, ls="",
                color=colour[arm], gid="diverged")
    if not few:
        last = frame.groupby("arm", sort=False)["alive"].last()
        left = pd.Series({arm: hidden[arm]["alive"] if arm in hidden else last[arm] for arm in shown}, dtype=float)
        _ends(left.rename(index=brief(arms)), ax)
    ax.set(xlim=(0, end if few else end * (1.02 + 0.018 * len(shown))), xlabel="update", ylabel="share not diverged",
           ylim=(-0.03, 1.09))
    return ax


def _ends(alive: pd.Series, ax: Axes) -> None:
    """The arms' names at the height where their lines end, those with one end in one line, lines kept apart."""
    floor = -1.0
    for value, group in sorted(alive.groupby(alive), key=lambda pair: float(pair[0])):
        names = [", ".join(group.index[i:i + 2]) for i in range(0, len(group), 2)]
        at = max(float(value), floor)
        ax.annotate("\n".join(names), (1.02, at), xycoords=("axes fraction", "data"), va="bottom" if len(names) > 1
                    else "center", fontsize=7, color=SOFT, linespacing=1.1, gid="end")
        floor = at + APART * len(names)
