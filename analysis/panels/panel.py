"""What a panel of the page is: the numbers of a study, one or more figures of them, and words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pandas as pd
from matplotlib.axes import Axes

from analysis.read.study import Study


@dataclass(frozen=True)
class Figure:
    """One figure. It is written as figures/`name` (SVG, PNG, and `frame` as CSV)."""

    name: str
    heading: str  # above it; "" where the panel's title says enough
    frame: pd.DataFrame  # what it shows, as numbers
    plot: Callable[[Axes], Any]
    size: tuple[float, float]  # inches
    alt: str  # for who cannot see it
    folded: bool = False  # shown when asked for


@dataclass(frozen=True)
class Table:
    """One table. `words` is for readers (page, Markdown, LaTeX), `numbers` is written as CSV and Parquet.

    Both have the same rows. words None: numbers alone. words.attrs["bold"]: (row, column) of bold cells.
    """

    name: str
    words: pd.DataFrame | None
    numbers: pd.DataFrame


class Panel(ABC):
    """A section of the page. To add one, override `name`, `title`, `frame`, `plot` and `caption`.

    `python analysis/report.py --panel my_package.my_module:MyPanel` shows it behind the built-in ones.
    """

    name: ClassVar[str]  # of its files; letters, digits, - and _
    title: ClassVar[str]
    size: ClassVar[tuple[float, float]] = (4.6, 3.5)  # inches; as wide as a phone
    wide: ClassVar[bool] = False  # one figure per row
    lead: ClassVar[bool] = False  # at the top of the page, its caption folded
    late: ClassVar[bool] = False  # long tables, which are folded
    folded: ClassVar[str] = ""  # what the folded figures show

    @abstractmethod
    def frame(self, study: Study) -> pd.DataFrame:
        """The numbers, tidy. Empty where the study has nothing to show."""

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> Any:
        """Plots the frame on one axes. The colour of an arm: `palette.colours(study.arms)[arm]`. A panel without it has
        no figure."""
        return None

    @abstractmethod
    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        """What is shown, over how many replicates."""

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        """Whether the study has data for it."""
        return not frame.empty

    def heading(self, study: Study, frame: pd.DataFrame) -> str:
        """The title; it may depend on the study."""
        return self.title

    def figures(self, study: Study, frame: pd.DataFrame) -> Sequence[Figure]:
        """One figure, of the whole frame; none where a panel has no `plot`. Override it for several."""
        return [] if type(self).plot is Panel.plot else [self.figure(study, frame)]

    def figure(self, study: Study, frame: pd.DataFrame, suffix: str = "", heading: str = "", *, alt: str = "",
               size: tuple[float, float] | None = None, numbers: pd.DataFrame | None = None, folded: bool = False
               ) -> Figure:
        """`plot` of some rows of the frame. suffix: of its name; alt: else the title; numbers: else these rows."""
        return Figure(f"{self.name}{suffix}", heading, frame if numbers is None else numbers,
                      partial(self.plot, study, frame), size or self.size, alt or self.title, folded)

    def tables(self, study: Study, frame: pd.DataFrame) -> Sequence[Table]:
        """Its tables."""
        return []
