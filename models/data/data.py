"""What every other file knows of data: three fixed splits, and chance that is the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from models.data.densities import Density

if TYPE_CHECKING:
    from models.data.disk.rows import DiskImages

SPLITS = ("train", "search", "confirm")
SAMPLE = 1000  # images on disk that stand for their train split: local spread, scale of features, search for copies
SEED = 1910_14216  # of every split, crop and dequantisation


class Space(Protocol):
    """Where data lie, which is all that a network needs to know of them: (C, H, W) or (2,); black and white, of images;
    what a picture shows; how many rows the train split has."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def extent(self) -> tuple[float, float]: ...
    @property
    def view(self) -> tuple[float, float]: ...
    @property
    def rows(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Data:
    """A data set in three splits. All arrays are read-only (take `torch.tensor`, which copies).

    The train split of images on disk is not in memory: take batches of it, or `some`.
    """

    name: str
    shape: tuple[int, ...]  # (C, H, W), or (2,)
    train: np.ndarray | DiskImages  # (n, *shape) float32; images in extent
    search: np.ndarray
    confirm: np.ndarray
    labels: np.ndarray | None  # (n,) int64 classes of the train split, where the data have classes
    labels_search: np.ndarray | None
    labels_confirm: np.ndarray | None
    quantum: float  # width of one grey level in data units; 0 in 2-D
    density: Density | None  # in 2-D
    content_hash: str  # SHA-256 of name, size, quantum and the arrays; on disk of the encoded images, size and range
    extent: tuple[float, float] = (-1.0, 1.0)  # of images: black and white
    notes: str = ""  # what became of images on disk, for a person

    @property
    def rows(self) -> int:
        """Of the train split."""
        return len(self.train)

    @property
    def view(self) -> tuple[float, float]:
        """What a picture shows: of images their values, of the plane a square."""
        return self.extent if self.density is None else self.density.extent


def some(train: np.ndarray | DiskImages, most: int = SAMPLE) -> np.ndarray:
    """Images of a train split, for what is measured on it: all of an array in memory, or at most `most` of those on
    disk, drawn by a fixed generator. (n, *shape)."""
    return train if isinstance(train, np.ndarray) else train[drawn(len(train), most)]


def drawn(n: int, most: int) -> np.ndarray:
    """At most `most` of n places, drawn by a fixed generator, in ascending order."""
    return np.arange(n) if n <= most else np.sort(generator(0).choice(n, most, replace=False))


def generator(stream: int) -> np.random.Generator:
    """Stream 0 lays out the splits; 1, 2 and 3 belong to train, search and confirm."""
    return np.random.default_rng([SEED, stream])
