"""The sections of the page that show figures, one module a theme; `sections` gives them in the order of the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.load import Store, Study
from analysis.sections import ablation, breaking, cost, main, plane, replicates, samples, search
from analysis.sections.canvas import Canvas, Panel, Section
from analysis.sections.files import write_tables
from analysis.wording import ELLIPSIS, LONGEST

__all__ = ["Panel", "Section", "sections"]

_ORDER = (
    main.declared, main.compared, main.best, main.confirmed,
    breaking.limits, plane.divergence, breaking.by_horizon, breaking.survival, replicates.kappa,
    plane.quality, samples.samples, cost.profiles, cost.pareto,
    ablation.ladder, ablation.path, ablation.importance,
    replicates.curves, replicates.dots, search.search, search.pareto,
    cost.budget, ablation.effects, main.design, main.search)
SHORTENED = f"A name with {ELLIPSIS} is shortened; the CSV files have it whole."


def sections(study: Study, store: Store, out: Path) -> list[Section]:
    """All sections that the study has data for. Figures of an earlier report in `out` that are not drawn again go."""
    canvas = Canvas(study, store, out)
    found = [section for draw in _ORDER if (section := draw(canvas)) is not None]
    if any(len(arm) > LONGEST for arm in study.arms):
        found = [replace(s, caption=f"{s.caption} {SHORTENED}") if s.panels else s for s in found]
    write_tables(found, canvas.every, out / "tables")
    for file in (out / "figures").glob("*.*"):
        if file.suffix in (".svg", ".png", ".csv") and file.stem not in canvas.drawn:
            file.unlink()
    return found
