"""The sections of the report that show figures. Each figure is written as SVG, PNG and CSV and set inline."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from analysis import figures, heatmaps, horizons, tables
from analysis.load import CELL, Store, Study
from analysis.palette import colours, inline, style
from analysis.wording import count, slug

Panel = tuple[str, Markup, str]  # heading, inline SVG, its alternative text


@dataclass
class Section:
    """A heading with panels (inline SVG and its alternative text) or tables under it, and a caption with n."""

    title: str
    caption: str
    panels: list[Panel] = field(default_factory=list)
    tables: list[tuple[str, pd.DataFrame]] = field(default_factory=list)
    wide: bool = False  # one panel a row
    late: bool = False  # a table that stands after the figures
    maps: bool = False  # panels whose cells hold words, so that they may not shrink


class Panels:
    """Draws one study's figures into `out`/figures."""

    def __init__(self, study: Study, store: Store, out: Path) -> None:
        self.study, self.store, self.out = study, store, out
        self.common, self.grid = tables.common_cell(study), tables.grid(study)
        self.limits = tables.limits(study) if len(study.cells) else pd.DataFrame()
        (out / "figures").mkdir(parents=True, exist_ok=True)

    def sections(self) -> list[Section]:
        """All sections that the study has data for, in the order of the page."""
        drawn = [self._limits(), self._horizons(), self._survival(), *self._maps(), self._curves(), self._dots(),
                 self._kappa(), self._samples()]
        return [s for s in [*drawn, self._search()] if s is not None]

    def _panel(
        self, name: str, frame: pd.DataFrame, draw: Callable[[Axes], Any], size: tuple[float, float], alt: str
    ) -> Panel:
        """Draws one figure and writes it as SVG, PNG and CSV. Returns (heading, inline SVG, alternative text)."""
        with style():
            figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
            draw(figure.subplots())
            sink = io.StringIO()
            figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
            figure.set_layout_engine("none")  # the layout is found; PNG takes the same one
            figure.savefig(self.out / "figures" / f"{name}.png", dpi=160, metadata={"Software": None})
        (self.out / "figures" / f"{name}.svg").write_text(sink.getvalue(), encoding="utf-8")
        frame.to_csv(self.out / "figures" / f"{name}.csv", index=False)
        return "", inline(sink.getvalue(), name, alt), alt

    def _limits(self) -> Section | None:
        frame = self.limits
        if frame.empty or frame["largest"].isna().all():
            return None
        panel = self._panel(
            "limits",
            frame,
            lambda ax: figures.limit_chart(frame.dropna(subset=["largest"]), ax, arms=self.study.arms),
            (7.6, 0.9 + 0.46 * len(frame)),
            f"Predicted and observed step-size limits of {len(frame)} rows; the table below holds them",
        )
        return Section(
            "Where it breaks: predicted and observed",
            "Full bar: no replicate diverged at this step size or below. Pale: between the last quiet level and "
            "the first with a diverged replicate (cross). Red bracket: the limit that the stability law (E13) "
            "gives from the data's local spread, from its smallest to its median direction. Each level has "
            f"{self._replicates('design')}.",
            [panel],
            [("limits", tables.limit_words(frame))],
            True,
        )

    def _horizons(self) -> Section | None:
        """The observed limit of each arm had the study ended earlier, at the common number of MCMC steps."""
        frame = horizons.limits_by_horizon(self.study)
        if frame.empty or self.common is None or not frame["diverged"].any():
            return None
        frame = frame.merge(self.limits[["arm", "mcmc_steps", "delta_min", "delta_med"]], on=["arm", "mcmc_steps"])
        levels = sorted(self.grid.loc[self.grid["replicates"] > 0, "step_size"].unique())
        panels, colour = [], colours(self.study.arms)
        frame = frame[frame["mcmc_steps"] == self.common[1]]
        for i, arm in enumerate(self._present(frame)):
            own = frame[frame["arm"] == arm]
            predicted = (float(own["delta_min"].iloc[0]), float(own["delta_med"].iloc[0]))
            draw = partial(figures.limit_by_horizon, own, predicted=predicted, colour=colour[arm],
                           levels=levels)
            alt = f"Observed step-size limit of {arm} by the number of updates; its CSV file holds it"
            panels.append((arm, *self._panel(f"horizon_{i}_{slug(arm)}", own, draw, (3.6, 2.8), alt)[1:]))
        return Section(
            "The limit depends on how long one looks",
            f"Step size from which half of the replicates have diverged, had the study ended after so many updates "
            f"({self.common[1]:g} MCMC steps, {self._replicates('design')} a level). Shaded: where Wilson's 95 % "
            "intervals leave it; triangles: beyond the largest level. Red: the predicted limit of the smallest "
            "(solid) and of the median direction (dashed).",
            panels,
        )

    def _survival(self) -> Section | None:
        """Time to divergence at each step size at which a replicate diverged, at the common number of MCMC steps."""
        frame = self._design(self.study.finals)
        if frame.empty or self.common is None:
            return None
        knobs = self.study.cells.set_index("config_hash")["knobs"]
        frame = frame[(frame["mcmc_steps"] == self.common[1]) & frame["config_hash"].isin(knobs.index)]
        frame = frame.assign(updates=[int(knobs[key]["updates"]) for key in frame["config_hash"]])
        panels = []
        for step, cell in frame.groupby("step_size"):
            if not cell["diverged"].any():
                continue
            data = pd.concat([horizons.survival(own).assign(arm=arm) for arm, own in cell.groupby("arm", sort=False)])

            def draw(ax: Axes, data: pd.DataFrame = data) -> None:
                figures.survival_curves(data, ax, arms=self.study.arms)
                figures.legend(self._present(data), ax, dots=False)

            _, svg, alt = self._panel(f"survival_{slug(f'{step:g}')}", data, draw, (4.4, 3.1),
                                      f"Share of replicates not diverged against update at step size {step:g}")
            panels.append((f"step size {step:g}", svg, alt))
        return Section(
            "Time to divergence",
            f"Kaplan and Meier's estimate at {self.common[1]:g} MCMC steps with pointwise 95 % bounds, a mark where a "
            f"replicate diverged; the others are censored at their last update ({self._replicates('design')} an arm). "
            "Lines are lifted a little against each other. Step sizes at which none diverged are left out.",
            panels,
        ) if panels else None

    def _maps(self) -> list[Section]:
        seen = self.grid["mean"].dropna()
        if not self.grid["replicates"].any():
            return []
        scale = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
        quality: list[Panel] = []
        rate: list[Panel] = []
        for i, arm in enumerate(self.study.arms):
            frame = self.grid[self.grid["arm"] == arm]
            if frame.empty:
                continue
            size = (0.9 + 0.92 * frame["step_size"].nunique(), 0.95 + 0.8 * frame["mcmc_steps"].nunique())
            own = self.limits[self.limits["arm"] == arm]
            for panels, kind, draw, what in [
                (rate, "divergence", partial(heatmaps.divergence_map, frame, limits=own), "Divergence rate"),
                (quality, "quality", partial(heatmaps.quality_map, frame, scale=scale), self.study.primary),
            ]:
                alt = f"{what} of {arm} by step size and MCMC steps; the table of all cells holds it"
                panels.append((arm, *self._panel(f"{kind}_{i}_{slug(arm)}", frame, draw, size, alt)[1:]))
        each = self._replicates("design")
        better = "lower is better" if self.study.lower_is_better else "higher is better"
        return [
            Section(
                "Divergence",
                "Diverged replicates of those that ran, with Wilson's 95 % interval. Lines: the "
                f"predicted limits; past the edge they stand on it. {each[0].upper()}{each[1:]} a cell; grey "
                "cells were not run.",
                rate,
                maps=True,
            ),
            Section(
                "Quality",
                f"{self.study.primary} ({better}): mean over surviving replicates, n of them, and how "
                "many diverged. One colour scale for all arms, lighter is lower; few survivors flatter their cell.",
                quality,
                maps=True,
            ),
        ]

    def _curves(self) -> Section | None:
        frame, measure = self._design(self.study.curves), self.study.primary
        if frame.empty or measure not in frame or self.common is None:
            return None
        ends = self.study.finals[["config_hash", "seed", "diverged"]]
        frame = (
            frame[frame["mcmc_steps"] == self.common[1]]
            .dropna(subset=[measure])
            .merge(ends, on=["config_hash", "seed"])
        )
        panels = []
        for step, cell in frame.groupby("step_size"):
            data = cell[["arm", *CELL, "seed", "update", "diverged", measure]]

            def draw(ax: Axes, cell: pd.DataFrame = cell) -> None:
                figures.learning_curves(cell, ax, measure=measure, arms=self.study.arms)
                figures.legend(self._present(cell), ax, dots=False)

            _, svg, alt = self._panel(
                f"curves_{slug(f'{step:g}')}", data, draw, (4.4, 3.1), f"{measure} against update at step size {step:g}"
            )
            panels.append((f"step size {step:g}", svg, alt))
        return Section(
            "Learning curves",
            f"{measure} while training, at {self.common[1]:g} MCMC steps. Thin lines: "
            "replicates, a cross at the last evaluation of one that diverged. Thick line and band: mean and 95 % t "
            "interval, drawn only "
            f"while every one of the arm's replicates lives ({self._replicates('design')} a cell).",
            panels,
        )

    def _dots(self) -> Section | None:
        frame, measure = self._design(self.study.finals), self.study.primary
        if frame.empty:
            return None
        panels = []
        for steps, part in frame.groupby("mcmc_steps"):

            def draw(ax: Axes, part: pd.DataFrame = part) -> None:
                figures.replicate_dots(part, ax, measure=measure, arms=self.study.arms)
                figures.legend(self._present(part), ax)

            _, svg, alt = self._panel(
                f"replicates_{slug(f'{steps:g}')}",
                part[["arm", *CELL, "seed", "diverged", "diverged_at", measure]],
                draw,
                (4.7, 3.2),
                f"Every replicate's {measure} at {steps:g} MCMC steps",
            )
            panels.append((f"{steps:g} MCMC steps", svg, alt))
        return Section(
            "Every replicate",
            f"{count(len(frame), 'design replicate')}, each one mark; the diverged have no "
            "quality and stand on the line above.",
            panels,
        )

    def _kappa(self) -> Section | None:
        data = tables.late_kappa(self.study)
        if data.empty:
            return None

        def draw(ax: Axes) -> None:
            figures.kappa(data, ax, arms=self.study.arms)
            figures.legend(self._present(data), ax)

        panel = self._panel(
            "kappa",
            data.drop(columns="config_hash"),
            draw,
            (6.4, 3.6),
            "The gauge kappa of each replicate against its step size",
        )
        return Section(
            "The gauge \u03ba",
            "\u03ba = step size\u00b2/2 \u00d7 the largest curvature at the particles: median of "
            f"the last quarter of each of {count(len(data), 'replicate')}, sideways by arm. Open marks diverged.",
            [panel],
            wide=True,
        )

    def _samples(self) -> Section | None:
        """Sheets of the first seed that has one, at the common cell and at the cell with the widest span of rates."""
        ran = self.grid[self.grid["replicates"] > 0]
        if self.common is None or ran.empty:
            return None
        span = ran.groupby(CELL)["rate"].agg(lambda r: r.max() - r.min()).sort_values(ascending=False, kind="stable")
        panels = []
        for step, steps in dict.fromkeys([self.common, span.index[0]]):
            here = ran[(ran["step_size"] == step) & (ran["mcmc_steps"] == steps)]
            for i, arm in enumerate(self.study.arms):
                rows = self.study.finals[
                    self.study.finals["config_hash"].isin(here.loc[here["arm"] == arm, "config_hash"])
                ]
                for row in rows.sort_values(["diverged", "seed"]).to_dict("records"):
                    path = self.store.sheet(self.study, row["config_hash"], int(row["seed"]), self.out / "cache")
                    if path is None:
                        continue
                    frame = pd.DataFrame(
                        [
                            {
                                "arm": arm,
                                "step_size": step,
                                "mcmc_steps": steps,
                                "seed": row["seed"],
                                "verdict": row["verdict"],
                                "path": path,
                            }
                        ]
                    )
                    name = f"samples_{slug(f'{step:g}')}_{steps:g}_{i}_{slug(arm)}"
                    _, svg, alt = self._panel(
                        name,
                        frame.drop(columns="path"),
                        partial(figures.sample_sheet, frame),
                        (3.0, 3.2),
                        f"Samples of {arm} at step size {step:g}, {steps:g} MCMC steps",
                    )
                    panels.append((f"{arm} at {step:g}, {steps:g} steps", svg, alt))
                    break
        return (
            Section(
                "Samples",
                "One seed an arm, the first that survived, not the best (none where all diverged): "
                "at the common cell, then at the cell where the arms' divergence rates differ most.",
                panels,
            )
            if panels
            else None
        )

    def _search(self) -> Section | None:
        frame = tables.summaries(self.study.finals[self.study.finals["phase"] == "search"], [self.study.primary])
        if frame.empty:
            return None

        def draw(ax: Axes) -> None:
            figures.search_trials(frame, ax, measure=self.study.primary, arms=self.study.arms)
            figures.legend(self._present(frame), ax)

        panel = self._panel("search", frame, draw, (6.4, 3.4), "Each search trial's mean against its step size")
        return Section(
            "Search, shown as search",
            f"{count(len(frame), 'finished trial')} with {self._replicates('search')} "
            "each, where the sampler chose to look. Points are not independent draws and carry no claim.",
            [panel],
            wide=True,
        )

    def _design(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["phase"] == "design"]

    def _present(self, frame: pd.DataFrame) -> list[str]:
        return [a for a in self.study.arms if a in set(frame["arm"])]

    def _replicates(self, phase: str) -> str:
        planned = self.study.plan.get("planned", {}).get(phase, {}).get("replicates")
        return count(int(planned), "replicate") if planned else "its replicates"
