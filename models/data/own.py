"""A data set from outside as `Data`: its rows, checked."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from models.data.builtin import content_hash
from models.data.data import SPLITS, Data, generator
from models.data.datasets import DataSet
from models.data.disk.options import DataError
from models.data.disk.splits import LEAST, ROOM
from models.registry import find

LARGEST = 1e6  # of a value: squares of distances lose their digits beyond


def load(name: str, size: int | None) -> Data:
    """The data set at `package.module:Name`. The same arrays every time. Raises FindError, and DataError for what is no
    data."""
    return _loaded(find("data set", name), name, size)


@lru_cache(maxsize=4)
def _loaded(cls: type[DataSet], name: str, size: int | None) -> Data:
    info = cls.info
    shape = info.shape(size)
    counts = {split: getattr(info, split) for split in SPLITS}
    try:
        made = cls()
        arrays = [np.array(made.rows(split, n, shape, generator(i + 1)), np.float32)
                  for i, (split, n) in enumerate(counts.items())]
        labels = [np.array(made.labels(split, n), np.int64) for split, n in counts.items()] if info.labels else []
        density = made.density() if info.density else None
    except Exception as error:  # whatever code from outside does
        raise DataError(("name",), f"found {name!r}, expected a data set: {type(error).__name__}: {error}") from error
    if lacking := [f"{split} = {n}" for split, n in counts.items() if n < (LEAST if split == "train" else ROOM)]:
        raise DataError(("name",), f"found {lacking[0]} of {name}, expected at least {LEAST} rows to train on, and "
                                   f"{ROOM} for search and confirm each")
    for (split, n), array in zip(counts.items(), arrays, strict=True):
        if array.shape != (n, *shape) or not (np.abs(array) <= LARGEST).all():
            what = f"the shape {array.shape}" if array.shape != (n, *shape) else f"values beyond {LARGEST:g}, or NaN,"
            raise DataError(("name",), f"found {what} of the {split} rows of {name}, expected {(n, *shape)} of values "
                                       "near 1")
    for (split, n), classes in zip(counts.items(), labels, strict=False):
        if classes.shape != (n,) or (n and classes.min() < 0):
            raise DataError(("name",), f"found the shape {classes.shape} of the {split} labels of {name}, expected "
                                       f"{(n,)}, none below 0")
    everything: list[np.ndarray] = [*arrays, *labels]
    for each in everything:
        each.flags.writeable = False
    train, search, confirm = arrays
    classes_of = dict(zip(SPLITS, labels, strict=False))
    return Data(name, shape, train, search, confirm, classes_of.get("train"), classes_of.get("search"),
                classes_of.get("confirm"), quantum=cls.quantum, density=density,
                content_hash=content_hash(name, {"shape": shape, "quantum": cls.quantum}, everything),
                extent=cls.extent)
