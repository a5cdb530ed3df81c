"""Time to divergence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis.panels import axes
from analysis.panels.axes import HATCHED, band
from analysis.panels.groups import arm_groups, cells_of, design, nearest_note, present, replicates, some_of, unfolded
from analysis.panels.palette import PAPER, SOFT, colours, dashes, hatches, markers
from analysis.panels.panel import Figure, Panel
from analysis.read.study import Study
from analysis.stats import horizons
from analysis.stats.cells import common_cell
from analysis.stats.nearest_cells import Group, nearest_cells
from analysis.text.formatting import brief, count, slug

APART = 0.07  # of the axis' height, between two lines of words at its right edge


class Survival(Panel):
    """F9: time to divergence wherever a replicate diverged, each arm at its cell nearest to the common number of MCMC
    steps (`nearest_cells`); and in the search, over all that the sampler chose."""

    name, title, folded = "survival", "Time to divergence", "other cells"

    def frame(self, study: Study) -> pd.DataFrame:
        """Design replicates with `updates`, the length of their run."""
        knobs = study.cells.set_index("config_hash")["knobs"]
        frame = design(study.finals)
        frame = frame[frame["config_hash"].isin(knobs.index)]
        if frame.empty or common_cell(study) is None:
            return pd.DataFrame()
        return frame.assign(updates=[int(knobs[k]["updates"]) for k in frame["config_hash"]])

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        found = []
        for group in _groups(study, frame):
            here = frame[frame["config_hash"].isin(group.cells)]
            name = f"survival_{slug(group.name)}"
            found += _figures(study, here, name, group.heading, group.said, not group.declared)
        found, searched = unfolded(found), horizons.search_ends(study)
        if searched["diverged"].any():
            found += _figures(study, searched, "survival_search", "search, all step sizes and MCMC steps", {})
        return found

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        searched = horizons.search_ends(study)
        cut = int(searched["pruned"].sum())
        said = (f" Search: all trials of an arm together, wherever its sampler looked; ticks: "
                f"{count(cut, 'replicate')} of pruned trials, censored at the last rung that was reported. Pruning "
                "looks at quality, so this curve describes and proves nothing."
                if cut and searched["diverged"].any() else "")
        shown = frozenset().union(*(group.cells for group in _groups(study, frame)))
        rest = frame[frame["diverged"].astype(bool) & ~frame["config_hash"].isin(shown)]
        if len(rest):
            said += (f" Not drawn: {count(len(rest), 'diverged replicate')} of other cells ({cells_of(rest)}), "
                     "which the table of all cells counts.")
        if horizons.masked(frame).any():
            said += (" Masked: clipping hid the divergence, which is found at the last update only; when it began is "
                     "not known, so it is no event of the curve: an open mark at the end, at the share left with the "
                     "masked ones counted.")
        return ("Kaplan and Meier's estimate with pointwise 95 % bounds (Wilson's where none was censored before), a "
                "mark where a replicate diverged; the others are censored at their last update "
                f"({replicates(study, 'design')} an arm). {nearest_note(study)} Step sizes at which none diverged are "
                f"left out.{said}")


def _groups(study: Study, frame: pd.DataFrame) -> list[Group]:
    """The cells of each figure: those where a replicate diverged."""
    lost = set(frame.loc[frame["diverged"].astype(bool), "config_hash"])
    return some_of([group for group in nearest_cells(study) if group.cells & lost])


def _figures(study: Study, cell: pd.DataFrame, name: str, heading: str, said: dict[str, str],
             folded: bool = False) -> list[Figure]:
    """Survival curves of a frame with `updates`, in as many figures as its arms need. said: of `nearest_cells`."""
    found: list[Figure] = []
    cell = cell[cell["arm"].isin(study.arms)]
    for end, words, part in arm_groups(study, cell) if len(cell) else []:
        by_arm = part.groupby("arm", sort=False)
        data = pd.concat([horizons.survival(own).assign(arm=arm, replicates=len(own)) for arm, own in by_arm])
        ticks = pd.concat([horizons.censored(own).assign(arm=arm) for arm, own in by_arm])
        hidden = [horizons.masked_ends(own).assign(arm=arm) for arm, own in by_arm if horizons.masked(own).any()]
        masked = pd.concat(hidden) if hidden else None
        title = heading + (f": {words}" if words else "")
        every = [("", data), ("censored", ticks), ("masked", masked)]
        table = pd.concat([of.assign(event=event) for event, of in every if of is not None and len(of)])
        found.append(Figure(f"{name}{end}", title, table if len(ticks) or hidden else data,
                            partial(_plot, study, data, ticks, masked, said), (4.6, 3.3),
                            f"Share of replicates not diverged against update at {title}", folded))
    return found


def _plot(study: Study, data: pd.DataFrame, ticks: pd.DataFrame, masked: pd.DataFrame | None, said: dict[str, str],
          ax: Axes) -> None:
    survival_curves(data, ax, arms=study.arms, censored=ticks, masked=masked)
    extra = [*([axes.mark("|", "censored")] if len(ticks) else []),
             *([axes.mark("o", "masked: time unknown")] if masked is not None else [])]
    axes.legend(study.arms, ax, present=present(study, data), dots=False, extra=extra, said=said)
    axes.say_n(ax, data["replicates"].unique(), "replicates an arm")


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
