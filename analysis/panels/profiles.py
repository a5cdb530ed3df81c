"""How often a quality is reached at all: divergence counts as failure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.panels import axes
from analysis.panels.axes import HATCHED, band, log_if_wide
from analysis.panels.groups import arm_groups, design, present
from analysis.panels.palette import colours, dashes, hatches
from analysis.panels.panel import Figure, Panel
from analysis.read.study import CELL, Study, rows
from analysis.stats.comparisons import compared_cells
from analysis.stats.costs import profile
from analysis.text.formatting import count, listed


class Profiles(Panel):
    """F5: divergence counts as failure, so that no arm profits from its lost replicates."""

    name, title, wide = "profiles", "How often a quality is reached", True

    def frame(self, study: Study) -> pd.DataFrame:
        runs, _ = profiled(study)
        if runs.empty or runs["arm"].nunique() < 2:
            return pd.DataFrame()
        return profile(runs, study.primary, study.lower_is_better)

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        (runs, _), found = profiled(study), []
        for end, words, part in arm_groups(study, frame):
            at = runs[runs["arm"].isin(part["arm"])].groupby("mcmc_steps")["step_size"].unique()
            heading = "; ".join(f"step size {listed([f'{s:g}' for s in sorted(some)])} at {steps:g} MCMC steps"
                                for steps, some in at.items()) + (f": {words}" if words else "")
            found.append(self.figure(study, part, end, heading,
                                     alt=f"Performance profiles of the arms {words}".strip()))
        return found

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> None:
        profiles(frame, ax, measure=study.primary, arms=study.arms, lower_is_better=study.lower_is_better)
        axes.legend(study.arms, ax, present=present(study, frame), dots=False)
        axes.say_n(ax, frame["replicates"].unique(), "replicates an arm")

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        each = sorted(set(frame["replicates"]))
        n = f"{each[0]}" if len(each) == 1 else f"{each[0]} to {each[-1]}"
        return (f"Share of an arm's replicates at least as good as a threshold, over {profiled(study)[1]} "
                f"({n} replicates an arm). A diverged replicate never is: a line that stays below 1 lost the rest. "
                "Band: pointwise 95 % bootstrap of seeds, each with all its cells.")


def profiled(study: Study) -> tuple[pd.DataFrame, str]:
    """Design replicates for performance profiles, and which cells they are of, in words.

    The cells (step size, MCMC steps) that all arms ran; where there is none those that the arms of the most shared cell
    ran, if they are most of the arms; else each arm's declared cell.
    """
    frame = design(study.finals)
    arms = present(study, frame)
    ran = frame.groupby(CELL)["arm"].agg(frozenset)
    if ran.empty:
        return frame, ""
    by_steps = ran.sort_index(level="mcmc_steps", ascending=False)
    most = max(by_steps, key=len)  # of equals the first: that with the most MCMC steps
    if 2 * len(most) <= len(arms):
        own = frame[frame["config_hash"].isin(compared_cells(study)["config_hash"])]
        at = "; ".join(f"{c.arm} {c.step_size:.4g}, {c.mcmc_steps:g}" for c in rows(compared_cells(study)))
        return own, f"each arm's own declared cell, as no cell was run by most arms (step size, MCMC steps: {at})"
    cells = ran.index[[most <= here for here in ran]]
    out = [a for a in arms if a not in most]
    who = f"{len(most)} of {len(arms)} arms ran; left out: {', '.join(out)}" if out else "all arms ran"
    return (frame[frame.set_index(CELL).index.isin(cells) & frame["arm"].isin(most)],
            f"the {count(len(cells), 'cell')} that {who}")


def profiles(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str], lower_is_better: bool) -> Axes:
    """Performance profiles: the share of replicates at least as good as a threshold; a diverged one never is.

    frame: `arm`, `threshold`, `share`, `low`, `high` (`costs.profile` of each arm).
    """
    colour, line, hatch = colours(arms), dashes(arms), hatches(arms)
    shown = [a for a in arms if a in set(frame["arm"])]
    for arm in shown:
        own = frame[frame["arm"] == arm]
        band(ax, own["threshold"], own["low"], own["high"], colour[arm], hatch[arm] if len(shown) <= HATCHED else "",
             step="post")
        ax.step(own["threshold"], own["share"], where="post", color=colour[arm], lw=1.8, ls=line[arm], gid="profile")
    log_if_wide(ax.xaxis, frame["threshold"], 8)
    if not lower_is_better:
        ax.invert_xaxis()
    ax.set(ylim=(-0.02, 1.02), xlabel=f"threshold of {measure}", ylabel="share of replicates within")
    return ax
