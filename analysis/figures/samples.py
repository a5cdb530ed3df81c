"""Sample sheets. `f(path, ax) -> ax`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from analysis.palette import ALARM, SOFT


def sample_sheet(path: Path, ax: Axes, *, note: str, alarm: bool = False) -> Axes:
    """A sample sheet (PNG), pixel for pixel, and one line under it; in the colour of an alarm where it diverged."""
    from PIL import Image

    with Image.open(path) as picture:
        grey = picture.mode in ("L", "1", "I;16")
        ax.imshow(np.asarray(picture.convert("L" if grey else "RGB")), cmap="gray", vmin=0, vmax=255,
                  interpolation="none")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(note, color=ALARM if alarm else SOFT, fontsize=8.5)
    return ax
