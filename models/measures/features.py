"""Feature extractors: images (n, C, H, W) to feature arrays (n, d) in float64, which models.measures.quality compares.

`clf64`: the data set's own classifier, trained here on its train split. `ssl64`: without labels (self-supervised), one
that learned to tell its images apart. `rnd64`: a fixed random ConvNet.
Features are standardised on the train split, so that KID's kernel weighs them alike on every data set. Everything is
float64 and draws from its own generator, so machines agree to many digits.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.data.data import Data, drawn, some
from models.measures.feature_training import DIM, Contrast, Recipe, classify, contrast, in_slices, initial

if TYPE_CHECKING:
    from models.data.disk.rows import DiskImages

CLASSES, ALONE = f"clf{DIM}", f"ssl{DIM}"  # what learned with labels, and without
LEARNED = 5000  # images on disk that an extractor learns from: at 32 pixels in colour 123 MB


@dataclass(frozen=True, eq=False)
class Extractor:
    """A fixed map from images of one shape to `dim` features. accuracy: on the search split, for classifiers."""

    name: str
    shape: tuple[int, ...]
    weights: list[Tensor]
    shift: Tensor  # (dim,) subtracted from the ConvNet's features, which are then divided by
    scale: Tensor  # (dim,)
    accuracy: float | None = None
    dim: int = DIM

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """images: (n, C, H, W). Returns (n, dim) float64. Raises ValueError for another shape."""
        if images.shape[1:] != self.shape:
            raise ValueError(f"{self.name}: found images of shape {images.shape[1:]}, expected {self.shape}")
        return ((in_slices(self.weights, images) - self.shift) / self.scale).numpy()


def random_convnet(train: np.ndarray | DiskImages, seed: int = 0) -> Extractor:
    """A random ConvNet for images of any shape, from 8 to 64 pixels a side. train: (n, C, H, W), the train split; of
    one on disk `some` images are taken.

    The weights depend on shape and seed only; train gives the scale of the features.
    """
    return _standardised(f"rnd{DIM}", initial(train.shape[1:], torch.Generator().manual_seed(seed)), train)


def classifier(data: Data, seed: int = 0, cache_dir: str | Path | None = None) -> Extractor:
    """A ConvNet that learned the classes of data.train; its 64 features are the layer before the last.

    Trained on the train split alone (on disk: LEARNED of its images), in one thread; the search split only gives
    `accuracy`. With cache_dir the result is kept there, in a file named by data, seed and recipe. Raises ValueError for
    data without labels.
    """
    labels, labels_search = data.labels, data.labels_search
    if labels is None or labels_search is None:
        raise ValueError(f"data: {data.name} has no labels, so no classifier; take contrastive")

    def make() -> Extractor:
        learned = _learned(data)
        weights, head = classify(data.train[learned], labels[learned], seed, Recipe())
        guess = F.linear(in_slices(weights, data.search), head).argmax(1).numpy()
        return _standardised(CLASSES, weights, data.train, float(np.mean(guess == labels_search)))

    return _cached(CLASSES, data, seed, cache_dir, make)


def contrastive(data: Data, seed: int = 0, cache_dir: str | Path | None = None) -> Extractor:
    """A ConvNet that learned without labels to tell images of data.train apart (`contrast`).

    Trained and kept as the classifier is.
    """
    def make() -> Extractor:
        return _standardised(ALONE, contrast(data.train[_learned(data)], seed, Contrast()), data.train)

    return _cached(ALONE, data, seed, cache_dir, make)


@lru_cache(maxsize=4)
def for_data(data: Data, cache_dir: str | Path | None = None) -> Extractor:
    """The classifier where the data have labels, else what learned without. Raises ValueError for 2-D data."""
    if len(data.shape) != 3:
        raise ValueError(f"data: {data.name} are points of shape {data.shape}; compare them without an extractor")
    return (contrastive if data.labels is None else classifier)(data, cache_dir=cache_dir)


def is_kept(data: Data, cache_dir: str | Path) -> bool:
    """Whether `for_data` finds in cache_dir what it would else train, for minutes where images are many or large."""
    return _file(ALONE if data.labels is None else CLASSES, data, 0, cache_dir)[0].exists()


def _learned(data: Data) -> np.ndarray:
    """Which images of the train split an extractor learns from: all; on disk LEARNED of them."""
    return drawn(len(data.train), len(data.train) if isinstance(data.train, np.ndarray) else LEARNED)


def _standardised(name: str, weights: list[Tensor], train: np.ndarray | DiskImages,
                  accuracy: float | None = None) -> Extractor:
    features = in_slices(weights, some(train))
    return Extractor(name, tuple(train.shape[1:]), weights, features.mean(0), features.std(0), accuracy)


def _file(name: str, data: Data, seed: int, cache_dir: str | Path) -> tuple[Path, dict[str, object]]:
    """Where an extractor is kept, and by what it is named."""
    recipe = Recipe() if name == CLASSES else Contrast()
    identity = {"data": data.content_hash, "seed": seed, "recipe": asdict(recipe)}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return Path(cache_dir) / f"{name}-{data.name}-{digest}.safetensors", identity


def _cached(name: str, data: Data, seed: int, cache_dir: str | Path | None, make: Callable[[], Extractor]) -> Extractor:
    if cache_dir is None:
        return make()
    path, identity = _file(name, data, seed, cache_dir)
    if not path.exists():
        _write(path, make(), identity)
    return _read(path, data.shape)


def _write(path: Path, extractor: Extractor, identity: dict[str, object]) -> None:
    """Weights, with a JSON header that says what they are; whole or not at all, whoever else writes it too."""
    from safetensors.torch import save

    about = json.dumps({"name": extractor.name, "accuracy": extractor.accuracy, **identity})
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".part", delete=False) as file:
        tensors = [*extractor.weights, extractor.shift, extractor.scale]
        file.write(save({f"{i:02}": tensor for i, tensor in enumerate(tensors)}, {"about": about}))
    os.replace(file.name, path)


def _read(path: Path, shape: tuple[int, ...]) -> Extractor:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["about"])
            *weights, shift, scale = [file.get_tensor(key) for key in sorted(file.keys())]
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole extractor file ({error}); delete it, it is made anew") from error
    return Extractor(about["name"], shape, weights, shift, scale, about["accuracy"])
