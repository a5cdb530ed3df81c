"""What every section draws on: one study, its common cell, and a place for figures (SVG, PNG and CSV each)."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from analysis import tables
from analysis.beside import Beside, nearest
from analysis.load import Store, Study
from analysis.palette import Arms, inline, style
from analysis.wording import count, listed

MOST = 8  # panels by step size
CROWD = 6  # arms whose lines or dots one axes can hold
OPEN = 6  # panels of one kind, beyond which those that are not at a declared cell are folded
TITLE = 0.080  # inches of a letter of a PNG's title


@dataclass(frozen=True)
class Panel:
    """One figure on the page: its heading, the inline SVG, its alternative text and its data as CSV text."""

    heading: str
    svg: Markup
    alt: str
    name: str  # of its files under figures/
    csv: str
    natural: float  # CSS pixels that the SVG is wide
    folded: bool = False  # shown when asked for


def unfolded(panels: list[Panel]) -> list[Panel]:
    """The panels, all of them open where they are at most OPEN."""
    return panels if len(panels) > OPEN else [replace(panel, folded=False) for panel in panels]


def cells_of(frame: pd.DataFrame) -> str:
    """Which arms at how many MCMC steps: `kl and r1 at 5; kl+step at 6`. frame: replicates."""
    arms = frame.groupby("mcmc_steps")["arm"].unique()
    return "; ".join(f"{listed(list(found))} at {steps:g}" for steps, found in arms.items()) + " MCMC steps"


@dataclass
class Section:
    """A heading with panels or tables under it, and a caption with n."""

    title: str
    caption: str
    panels: list[Panel] = field(default_factory=list)
    tables: list[tuple[str, pd.DataFrame]] = field(default_factory=list)
    raw: dict[str, pd.DataFrame] = field(default_factory=dict)  # the numbers behind a table of words, by its name
    wide: bool = False  # one panel a row
    late: bool = False  # a long table that is folded
    folded: str = ""  # what the folded panels show


class Canvas:
    """Draws one study's figures into `out`/figures."""

    def __init__(self, study: Study, store: Store, out: Path) -> None:
        methods = {arm: str(entry.get("method", arm)) for arm, entry in study.plan.get("arms", {}).items()}
        base = dict(zip(study.cells["arm"], study.cells["base_arm"], strict=True))
        arms = Arms(study.arms, {a: methods.get(base.get(a, a), a) for a in study.arms})
        self.study, self.store, self.out = replace(study, arms=arms), store, out
        self.arms = arms
        self.common, self.grid = tables.common_cell(self.study), tables.grid(self.study)
        self.limits = tables.limits(self.study) if len(study.cells) else pd.DataFrame()
        self.every = tables.summaries(study.finals, study.measures)
        (out / "figures").mkdir(parents=True, exist_ok=True)
        self.drawn: set[str] = set()

    def panel(self, name: str, heading: str, frame: pd.DataFrame, draw: Callable[[Axes], Any],
              size: tuple[float, float], alt: str) -> Panel:
        """Draws `frame` on one axes of `size` inches and writes it as SVG, PNG and CSV. alt: for who cannot see it."""
        with style():
            figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
            draw(figure.subplots())
            sink = io.StringIO()
            figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
            figure.set_layout_engine("none")  # the layout is found; PNG takes the same one
            if heading:  # on the page it stands above the figure
                title = textwrap.fill(heading, max(20, int(size[0] / TITLE)))
                figure.suptitle(title, x=0.01, y=1.0, ha="left", va="bottom", fontsize=9, fontweight="bold")
            figure.savefig(self.out / "figures" / f"{name}.png", dpi=160, metadata={"Software": None},
                           bbox_inches="tight", pad_inches=0.05)
        csv = frame.to_csv(index=False)
        (self.out / "figures" / f"{name}.svg").write_text(sink.getvalue(), encoding="utf-8")
        (self.out / "figures" / f"{name}.csv").write_text(csv, encoding="utf-8")
        self.drawn.add(name)
        return Panel(heading, inline(sink.getvalue(), name, alt), alt, name, csv, 96 * size[0])

    def some_of(self, groups: list[Beside]) -> list[Beside]:
        """At most MOST of these and the declared one, evenly chosen with both ends: so many panels a page shows."""
        every = [group for group in groups if not group.declared]
        if len(every) > MOST:
            every = [every[round(i * (len(every) - 1) / (MOST - 1))] for i in range(MOST)]
        return [group for group in groups if group.declared or group in every]

    def nearest_note(self) -> str:
        """Which cells stand beside each other (`beside`), with the arms that could not run the common number of MCMC
        steps, and how many step sizes of the study have no panel."""
        assert self.common is not None
        ran = self.grid[self.grid["replicates"] > 0]
        own = nearest(ran, self.common[1])
        other = [a for a in self.present(own) if (own.loc[own["arm"] == a, "mcmc_steps"] != self.common[1]).any()]
        few = f"At most {MOST} step sizes." if ran["step_size"].nunique() > MOST else ""
        if not other:
            return f"At {self.common[1]:g} MCMC steps. {few}".strip()
        return (f"At {self.common[1]:g} MCMC steps; {listed(other)} did not run so many everywhere and "
                f"{'stands' if len(other) == 1 else 'stand'} with the nearest number, in brackets where it is not the "
                f"heading's. {few}").strip()

    def design(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the design phase."""
        return frame[frame["phase"] == "design"]

    def present(self, frame: pd.DataFrame) -> list[str]:
        """The arms that `frame` holds, in the plan's order."""
        return [a for a in self.study.arms if a in set(frame["arm"])]

    def crowds(self, frame: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
        """`frame` in groups of arms that one axes can hold: a suffix for files, words for headings, and the rows.

        All in one up to CROWD arms, without suffix and words. Else the arms of a method stay together and small
        methods share a group; the baseline, with which all are compared, is in each.
        """
        present = self.present(frame)
        if len(present) <= CROWD:
            return [("", "", frame)]
        base = next((a for a in present if self.study.baseline_of(a) is None), present[0])
        large: list[list[str]] = []
        small: list[list[str]] = []
        for method in dict.fromkeys(self.arms.methods[a] for a in present):
            own = [a for a in present if self.arms.methods[a] == method]
            if len(own) > CROWD // 2:
                large += [own[i:i + CROWD] for i in range(0, len(own), CROWD)]
            elif small and len(small[-1]) + len(own) <= CROWD:
                small[-1] += own
            else:
                small.append(own)
        groups = large + small
        named = [dict.fromkeys(self.arms.methods[a] for a in group) for group in groups]
        shown = [frame[frame["arm"].isin([*group, base])] for group in groups]
        return [(f"_{k}", ", ".join(names), rows) for k, (names, rows) in enumerate(zip(named, shown, strict=True))]

    def replicates(self, phase: str) -> str:
        """`7 replicates`: how many the plan gives each configuration of the phase."""
        planned = self.study.plan.get("planned", {}).get(phase, {}).get("replicates")
        return count(int(planned), "replicate") if planned else "its replicates"
