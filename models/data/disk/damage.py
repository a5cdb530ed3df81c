"""How many of the images that are decoded turn out damaged, and when these are too many.

An index knows what headers, checksums and ends of files say. Damage that only decoding shows is met later: at every
load in the held-out splits and in a drawn part of the train split, in the rest of it when an update needs an image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.data.disk.options import DataError
from models.data.disk.splits import Layout

CHANCE = 1e-3  # with which data are refused whose share is just what may be broken
MOST_COPIED = 100  # images that are looked at for the number of their copies alone


class Tally:
    """Of the images of a layout that this process has met, those that cannot be decoded."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.met = np.zeros(len(layout.rows), bool)
        self.damaged = np.zeros(len(layout.rows), bool)

    def add(self, places: np.ndarray, damaged: np.ndarray, named: Callable[[np.ndarray], str]) -> None:
        """Count images met, each once. damaged: (m,) bool. Raises DataError where too many are damaged; `named` says
        of places which and why.

        Too many are those that, with their copies and what the index found, exceed the allowed share of all files, and
        those that a random part of images of this share would hold with a chance below CHANCE (hypergeometric).
        """
        new = damaged & ~self.met[places]
        self.met[places] = True
        if not new.any():
            return
        self.damaged[places[new]] = True
        found = np.flatnonzero(self.damaged)
        files, allowed = int(self._layout.copies[found].sum()), self._layout.allowed
        if files > allowed or self._chance(len(found)) < CHANCE:
            met = int(self.met.sum())
            raise DataError(("refuse_broken",), f"found {len(found):,} of the {met:,} images decoded so far damaged "
                            f"({len(found) / met:.2%}; {files:,} files), expected at most {allowed:,} of "
                            f"{self._layout.files:,} files, beside those known to be broken: {named(found)}")

    def _chance(self, damaged: int) -> float:
        """Of meeting so many damaged images or more, were as many damaged as may be."""
        from scipy.stats import hypergeom

        n = len(self.met)
        return float(hypergeom.sf(damaged - 1, n, min(self._layout.allowed, n), int(self.met.sum())))


def suspects(layout: Layout) -> np.ndarray:
    """Places of images that have more copies than files may be broken: a drawn part may miss them."""
    many = np.flatnonzero(layout.copies > max(1, layout.allowed))
    return many[np.argsort(-layout.copies[many], kind="stable")][:MOST_COPIED]
