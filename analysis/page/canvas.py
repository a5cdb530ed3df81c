"""A figure drawn: SVG for the page; SVG, PNG and CSV as files."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from pathlib import Path

import matplotlib.figure
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG

from analysis.page.named import Named
from analysis.page.svg import inline
from analysis.panels.marks import named_marks
from analysis.panels.palette import style
from analysis.panels.panel import Figure

TITLE = 0.080  # inches of a letter of a PNG's title
SVG, PNG = 72, 160  # dots per inch


@dataclass(frozen=True)
class Drawn:
    """A figure on the page. csv: its data as text. natural: CSS pixels that the SVG is wide."""

    name: str
    heading: str
    svg: Markup
    csv: str
    natural: float
    folded: bool


def draw(of: Figure, folder: Path, named: Named) -> Drawn:
    """Draws it on one axes and writes its files into `folder`. named: says what its marks are."""
    with style():
        figure = matplotlib.figure.Figure(figsize=of.size, layout="constrained")
        of.plot(figure.subplots())
        _lay_out(figure)
        marks = named.of(named_marks(figure))
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
        _save_png(figure, of, folder / f"{of.name}.png")
    csv = of.frame.to_csv(index=False)
    (folder / f"{of.name}.svg").write_text(sink.getvalue(), encoding="utf-8")
    (folder / f"{of.name}.csv").write_text(csv, encoding="utf-8")
    return Drawn(of.name, of.heading, inline(sink.getvalue(), of.name, of.alt, marks), csv, 96 * of.size[0], of.folded)


def _save_png(figure: matplotlib.figure.Figure, of: Figure, file: Path) -> None:
    """With the heading, which on the page stands above the figure."""
    if of.heading:
        title = textwrap.fill(of.heading, max(20, int(of.size[0] / TITLE)))
        figure.suptitle(title, x=0.01, y=1.0, ha="left", va="bottom", fontsize=9, fontweight="bold")
    figure.set_dpi(PNG)
    box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer()).padded(0.05)
    figure.savefig(file, dpi=PNG, metadata={"Software": None}, bbox_inches=box)


def _lay_out(figure: matplotlib.figure.Figure) -> None:
    """The layout that both files take, found once: `savefig` draws a figure one time more for each that has none."""
    FigureCanvasSVG(figure)
    figure.set_dpi(SVG)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")
