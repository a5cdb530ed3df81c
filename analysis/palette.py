"""Colours of the report: one an arm, told apart by the colour-blind, legible on paper and on a dark page.

Figures are drawn in the light colours. On the page each of these hex codes becomes a CSS variable, so that an inline
SVG follows the reader's theme.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from markupsafe import Markup

# Okabe and Ito's order, a little darker on light and lighter on dark so that each keeps a contrast of 3:1.
ARMS_LIGHT = ("#0a6aa6", "#c8530a", "#0b8a63", "#b3558d", "#7a6400", "#5b5bb8", "#3f7f8c", "#8a4b3c")
ARMS_DARK = ("#5db4ee", "#f2914e", "#3fc99a", "#e394c2", "#d6bd3c", "#a3a3f5", "#7cc3d1", "#d19583")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1)), (0, (8, 2)),
          (0, (4, 1, 1, 1, 1, 1)), (0, (2, 2)))
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p")
THEME = {  # name of the CSS variable: (light, dark)
    "ink": ("#20252b", "#e4e6e8"),
    "soft": ("#68707a", "#9aa3ad"),
    "rule": ("#d5d9de", "#3a4149"),
    "empty": ("#e6e8eb", "#2c3238"),
    "paper": ("#fffffe", "#15191d"),
    "alarm": ("#b3261e", "#ff8a80"),
    **{f"arm{i}": pair for i, pair in enumerate(zip(ARMS_LIGHT, ARMS_DARK, strict=True))},
}
INK, SOFT, RULE, EMPTY, PAPER, ALARM = (THEME[k][0] for k in ("ink", "soft", "rule", "empty", "paper", "alarm"))


def colours(arms: Sequence[str]) -> dict[str, str]:
    """The colour of each arm, in the order of the plan; beyond eight arms they repeat and the marker differs."""
    return {arm: ARMS_LIGHT[i % len(ARMS_LIGHT)] for i, arm in enumerate(arms)}


def markers(arms: Sequence[str]) -> dict[str, str]:
    """The marker of each arm, so that colour is never the only difference."""
    return {arm: MARKERS[(i + i // len(MARKERS)) % len(MARKERS)] for i, arm in enumerate(arms)}


def dashes(arms: Sequence[str]) -> dict[str, Any]:
    """The line style of each arm: lines that lie on each other are still seen apart."""
    return {arm: DASHES[(i + i // len(DASHES)) % len(DASHES)] for i, arm in enumerate(arms)}


def themed(svg: str) -> str:
    """The SVG with every colour of the theme replaced by its CSS variable."""
    for name, (light, _) in THEME.items():
        svg = svg.replace(light, f"var(--{name})")
    return svg


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's settings of all figures, for the length of a `with`."""
    import matplotlib

    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": RULE,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "axes.titlecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.6,
        "figure.facecolor": PAPER,
        "axes.facecolor": "none",
        "savefig.facecolor": PAPER,
        "svg.hashsalt": "report",
        "svg.fonttype": "path",
        "text.parse_math": False,
    }
    with matplotlib.rc_context(settings):
        yield


def inline(svg: str, name: str, alt: str) -> Markup:
    """An SVG for an HTML page: ids of its own, the theme's variables for colours, an accessible name."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'((?:xlink:)?href=")#', rf"\1#{name}-", body).replace("url(#", f"url(#{name}-")
    width = float(re.search(r'width="([\d.]+)pt"', body).group(1))  # type: ignore[union-attr]
    label = Markup.escape(alt)
    head = f'<svg role="img" aria-label="{label}" style="--natural:{width * 4 / 3:.0f}px" '
    body = re.sub(r'(<svg[^>]*?) width="[\d.]+pt" height="[\d.]+pt"', r"\1", body, count=1)
    return Markup(themed(body.replace("<svg ", head, 1)))
