"""Colours of the report: one hue per method, told apart by the colour-blind, legible on paper and on a dark page.

Figures are drawn in the light colours. On the page each of these hex codes becomes a CSS variable, so that an inline
SVG follows the reader's theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from analysis.read.study import Study

# One row per hue; the first 8 are told apart at a CIEDE2000 distance of 8 by normal, protan, deutan and
# tritan eyes (the first 5 at 11), lightnesses of a hue at 8; each has a contrast of 3:1 on its paper.
LIGHT = (("#1292ef", "#004779", "#056bb2"), ("#be821d", "#603d00", "#8f5e00"), ("#007e67", "#015646", "#399f87"),
         ("#86029d", "#d25ee7", "#ab38c1"), ("#60550b", "#9f8f46", "#80722a"), ("#5a5fd0", "#2a3da8", "#8382f8"),
         ("#245a5f", "#63989d", "#43787d"), ("#7a4b3c", "#b78372", "#9b6858"))
DARK = (("#70b1f9", "#c0d9fe", "#458dd2"), ("#c98a2b", "#ffddb7", "#f3ae4f"), ("#a6e6b2", "#5a9768", "#7ebc8a"),
        ("#e04fae", "#ffc7e7", "#fe89d1"), ("#f9d50f", "#a18900", "#caac06"), ("#5e80fe", "#d3d4fe", "#a3aafd"),
        ("#69e9f7", "#0599a5", "#32bfcc"), ("#b9968a", "#ffdfd4", "#deb9ad"))
METHODS = ("kl", "jko", "hidden", "amortized", "ggcn")  # have the first hues, in every study
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.1)), (0, (6, 1.5, 1.5, 1.5)), (0, (4, 1, 1, 1, 1, 1)), (0, (9, 2)),
          (0, (2.5, 1.2)), (0, (1.2, 2.6)))
MARKERS = ("o", "s", "D", "^", "v", "P", "*", "p", "<", ">", "d", "h", ((-1, -1), (1, 1), (1, -1), (-1, 1)),
           ((-1, -1), (1, -1), (-1, 1), (1, 1)), (4, 1, 0), "8")  # corners: a bow tie, an hourglass
HATCHES = ("", "////", "//", "\\\\\\\\", "xxxx", "----", "||||", "++++")
THEME = {  # name of the CSS variable: (light, dark)
    "ink": ("#20252b", "#e4e6e8"),
    "soft": ("#68707a", "#9aa3ad"),
    "rule": ("#d5d9de", "#3a4149"),
    "empty": ("#e6e8eb", "#2c3238"),
    "paper": ("#fffffe", "#15191d"),
    "alarm": ("#b3261e", "#ff8a80"),
    **{f"arm{i}": pair for i, pair in enumerate(zip(sum(LIGHT, ()), sum(DARK, ()), strict=True))},
}
INK, SOFT, RULE, EMPTY, PAPER, ALARM = (THEME[k][0] for k in ("ink", "soft", "rule", "empty", "paper", "alarm"))


class Arms(list[str]):
    """The arms of a study in the plan's order, with the method of each: colour is by method, the rest by arm."""

    def __init__(self, names: Iterable[str], methods: Mapping[str, str]) -> None:
        super().__init__(names)
        self.methods = {name: methods.get(name, name) for name in self}


def methods_of(arms: Sequence[str]) -> dict[str, str]:
    """The method of each arm; of a plain list each arm is a method of its own."""
    return arms.methods if isinstance(arms, Arms) else {arm: arm for arm in arms}


def with_methods(study: Study) -> Study:
    """The study with the method of each arm, which gives it its colour."""
    methods = {arm: planned.method for arm, planned in study.plan.arms.items()}
    base = dict(zip(study.cells["arm"], study.cells["base_arm"], strict=True))
    return replace(study, arms=Arms(study.arms, {a: methods.get(base.get(a, a), a) for a in study.arms}))


def colours(arms: Sequence[str]) -> dict[str, str]:
    """The colour of each arm: a method's hue, the same in every study, in another lightness for each of its arms.

    The arm that is called as its method has the first of them; a method's fourth arm has the lightness of its first
    again, and marker, dashes and hatch tell them apart. arms: all of the study, in the plan's order; of a plain list
    each arm is a method of its own.
    """
    methods = methods_of(arms)
    own = {method: sorted((a for a in arms if methods[a] == method), key=lambda a: a != methods[a])
           for method in dict.fromkeys(methods.values())}
    known = [m for m in METHODS if m in own]
    free = [i for i in range(len(LIGHT)) if i >= len(METHODS)] + [METHODS.index(m) for m in METHODS if m not in own]
    hue = {m: METHODS.index(m) for m in known}
    for k, method in enumerate(m for m in own if m not in METHODS):
        hue[method] = free[k] if k < len(free) else k % len(LIGHT)
    turn = {m: sum(hue[other] == hue[m] for other in list(own)[:k]) for k, m in enumerate(own)}
    return {arm: LIGHT[hue[methods[arm]]][(own[methods[arm]].index(arm) + turn[methods[arm]]) % 3] for arm in arms}


def markers(arms: Sequence[str]) -> dict[str, Any]:
    """The marker of each arm, so that colour is never the only difference; all differ up to sixteen arms."""
    from matplotlib.path import Path

    made = [Path([*m, m[0]], closed=True) if isinstance(m, tuple) and isinstance(m[0], tuple) else m for m in MARKERS]
    return {arm: made[i % len(made)] for i, arm in enumerate(arms)}


def dashes(arms: Sequence[str]) -> dict[str, Any]:
    """The line style of each arm: lines that lie on each other are still seen apart."""
    return {arm: DASHES[(i + i // len(DASHES)) % len(DASHES)] for i, arm in enumerate(arms)}


def hatches(arms: Sequence[str]) -> dict[str, str]:
    """The hatch of each arm, for its bars and bands."""
    return {arm: HATCHES[(i + i // len(HATCHES)) % len(HATCHES)] for i, arm in enumerate(arms)}


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
        "hatch.linewidth": 0.6,
        "figure.facecolor": PAPER,
        "axes.facecolor": "none",
        "savefig.facecolor": PAPER,
        "svg.hashsalt": "report",
        "svg.fonttype": "path",
        "text.parse_math": False,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever a user has in matplotlibrc, such as LaTeX, which may not be there
        matplotlib.rcParams.update(settings)
        yield
