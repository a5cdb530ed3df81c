"""From what a spec says of its data to `Data`. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.data import builtin, own
from models.data.data import SPLITS, Data
from models.data.datasets import DATASETS, name_problem
from models.data.disk.options import DataError, kind_of

if TYPE_CHECKING:
    from models.data.disk.index import Say


def load(name: str | Mapping[str, Any], size: int | None = None, cache_dir: str | Path | None = None,
         say: Say = lambda line: None) -> Data:
    """The data set `name` of DATASETS, or at `package.module:Name`, images of `size` pixels a side (None: its default);
    or what `data` of a spec says, as a mapping: {name, size}, or images on disk. Their cache lies in cache_dir; `say`
    is told what takes long.

    The same arrays every time, with no use of a global generator. Raises ValueError for a name or size that is not
    there, and its kind DataError for images, or data from outside, that cannot be used.
    """
    if isinstance(name, Mapping):
        if kind_of(name):
            from models.data.disk.load import load_disk

            return _varied(load_disk(name, cache_dir, say))
        return load(str(name["name"]), name.get("size"))
    if ":" in name:
        return _varied(own.load(name, size))
    problem = name_problem(name)
    if problem:
        raise ValueError(f"data: {problem}")
    if lacks := DATASETS[name].lacks():
        raise DataError((), f"{name}: {lacks}")
    return builtin.load(name, DATASETS[name].shape(size))


def _varied(data: Data) -> Data:
    """Raises DataError for a split of which all rows are the same: nothing can be learnt, or measured on it."""
    for split in SPLITS:
        rows = getattr(data, split)
        if isinstance(rows, np.ndarray) and len(rows) > 1 and not np.ptp(rows, axis=0).any():
            raise DataError((), f"found {len(rows)} {split} rows that are all the same, expected different ones")
    return data
