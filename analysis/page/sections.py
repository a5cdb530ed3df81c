"""The sections of the page: each panel that the study has data for, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.page.canvas import Drawn, draw
from analysis.page.named import Named
from analysis.page.tables import write_tables
from analysis.panels.built_in import guarded, named_well
from analysis.panels.palette import with_methods
from analysis.panels.panel import Panel, Table
from analysis.read.study import Study
from analysis.stats.cells import summaries
from analysis.text.formatting import ELLIPSIS, LONGEST

SHORTENED = f"A name with {ELLIPSIS} is shortened; the CSV files have it whole."


@dataclass(frozen=True)
class Section:
    """A heading with figures or tables under it, and a caption with n. wide, lead, late, folded: as of `Panel`."""

    title: str
    caption: str
    figures: list[Drawn]
    tables: list[Table]  # those with words
    wide: bool
    lead: bool
    late: bool
    folded: str


def sections(study: Study, out: Path, panels: Sequence[Panel]) -> list[Section]:
    """A section per panel that is shown. Figures of an earlier report in `out` that are not drawn again go."""
    study, folder = with_methods(study), out / "figures"
    named = Named(study)
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Section] = []
    tables: list[Table] = [Table("all_measures", None, summaries(study.finals, study.measures))]
    shortened = f" {SHORTENED}" if any(len(arm) > LONGEST for arm in study.arms) else ""
    captions: dict[str, str] = {}
    taken: dict[str, set[str]] = {"figure": set(), "table": {table.name for table in tables}}
    for panel in panels:
        with guarded(panel):
            frame = panel.frame(study)
            if not panel.is_shown(study, frame):
                continue
            wanted, own = list(panel.figures(study, frame)), list(panel.tables(study, frame))
            named_well(panel, [figure.name for figure in wanted], taken["figure"], "figure")
            named_well(panel, [table.name for table in own], taken["table"], "table")
            figures = [draw(figure, folder, named) for figure in wanted]
            tables += own
            heading, caption = panel.heading(study, frame), panel.caption(study, frame)
            if not isinstance(caption, str):
                raise TypeError(f"its caption is {caption!r:.60}, expected text")
            captions |= {table.name: f"{heading}. {caption}" for table in own}
            if figures or own:
                found.append(Section(
                    heading, caption + (shortened if figures else ""), figures,
                    [table for table in own if table.words is not None], panel.wide, panel.lead, panel.late,
                    panel.folded))
    write_tables(tables, out / "tables", captions)
    drawn = {figure.name for section in found for figure in section.figures}
    for file in folder.glob("*.*"):
        if file.suffix in (".svg", ".png", ".csv") and file.stem not in drawn:
            file.unlink()
    return found
