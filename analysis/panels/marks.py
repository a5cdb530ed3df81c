"""Which configuration or replicate each mark of a figure is, so that the page can name it under the pointer."""

from __future__ import annotations

from typing import cast

import matplotlib.figure
import pandas as pd
from matplotlib.lines import Line2D

_KEY = ["config_hash", "seed", "note"]


def name_marks(line: Line2D, rows: pd.DataFrame) -> None:
    """Row k of `rows` is mark k of the line: `config_hash`, with `seed` where it is a replicate, with `note` where
    there is more to say of it. Rows without a config_hash name nothing."""
    if "config_hash" in rows:
        line.named = rows[[c for c in _KEY if c in rows]]  # type: ignore[attr-defined]


def named_marks(figure: matplotlib.figure.Figure) -> dict[str, pd.DataFrame]:
    """The rows of `name_marks` by the id that the line's group then has in an SVG: of the marks that are drawn, since
    the SVG has none of those that lie beyond the canvas."""
    found: dict[str, pd.DataFrame] = {}
    for line in [line for ax in figure.axes for line in ax.lines if hasattr(line, "named")]:
        place = line.get_transform().transform(line.get_xydata())
        inside = ((place >= 0) & (place <= figure.bbox.max)).all(axis=1)  # False of what is not a number
        if inside.any():
            line.set_gid(f"named-{len(found)}")
            found[f"named-{len(found)}"] = cast(pd.DataFrame, line.named[inside])
    return found
