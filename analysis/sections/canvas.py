"""What every section draws on: one study, its common cell, and a place for figures (SVG, PNG and CSV each)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from analysis import tables
from analysis.load import Store, Study
from analysis.palette import Arms, inline, style
from analysis.wording import count

MOST = 8  # panels by step size
CROWD = 6  # arms whose lines or dots one axes can hold


@dataclass(frozen=True)
class Panel:
    """One figure on the page: its heading, the inline SVG, its alternative text and its data as CSV text."""

    heading: str
    svg: Markup
    alt: str
    name: str  # of its files under figures/
    csv: str


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
    maps: bool = False  # panels whose cells hold words, so that they may not shrink


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
                figure.suptitle(heading, x=0.01, y=1.0, ha="left", va="bottom", fontsize=9, fontweight="bold")
            figure.savefig(self.out / "figures" / f"{name}.png", dpi=160, metadata={"Software": None},
                           bbox_inches="tight", pad_inches=0.05)
        csv = frame.to_csv(index=False)
        (self.out / "figures" / f"{name}.svg").write_text(sink.getvalue(), encoding="utf-8")
        (self.out / "figures" / f"{name}.csv").write_text(csv, encoding="utf-8")
        self.drawn.add(name)
        return Panel(heading, inline(sink.getvalue(), name, alt), alt, name, csv)

    def some(self, levels: Iterable[float]) -> list[float]:
        """At most MOST of these levels, evenly chosen with both ends: a page shows so many panels of a kind."""
        every = sorted(set(levels))
        if len(every) <= MOST:
            return every
        return [every[round(i * (len(every) - 1) / (MOST - 1))] for i in range(MOST)]

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
