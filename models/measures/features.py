"""Feature extractors: images (n, C, H, W) to feature arrays (n, d) in float64, which models.measures.quality compares.

`clf64`: the data set's own classifier, trained here on its train split. `rnd64`: a fixed random ConvNet.
Features are standardised on the train split, so that KID's kernel weighs them alike on every data set. Everything is
float64 and draws from its own generator, so machines agree to many digits.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.data.data import Data, drawn, some

if TYPE_CHECKING:
    from models.data.disk.rows import DiskImages

DIM = 64
LEARNED = 5000  # images on disk that the classifier learns from: at 32 pixels in colour 123 MB


@dataclass(frozen=True)
class Recipe:
    """How the classifier is trained. Part of a cached file's name: another recipe is another extractor."""

    version: int = 1
    epochs: int = 10
    batch_size: int = 25
    lr: float = 2e-3
    weight_decay: float = 1e-2


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
        return ((_in_slices(self.weights, images) - self.shift) / self.scale).numpy()


def random_convnet(train: np.ndarray | DiskImages, seed: int = 0) -> Extractor:
    """A random ConvNet for images of any shape, from 8 to 64 pixels a side. train: (n, C, H, W), the train split; of
    one on disk `some` images are taken.

    The weights depend on shape and seed only; train gives the scale of the features.
    """
    return _standardised(f"rnd{DIM}", _initial(train.shape[1:], torch.Generator().manual_seed(seed)), train, None)


def classifier(data: Data, seed: int = 0, cache_dir: str | Path | None = None) -> Extractor:
    """A ConvNet that learned the classes of data.train; its 64 features are the layer before the last.

    Trained on the train split alone (on disk: LEARNED of its images), in one thread; the search split only gives
    `accuracy`. With cache_dir the result is kept there, in a file named by data, seed and recipe. Raises ValueError for
    data without labels.
    """
    if data.labels is None or data.labels_search is None:
        raise ValueError(f"data: {data.name} has no labels, so no classifier; take random_convnet")
    if cache_dir is None:
        return _trained(data, data.labels, data.labels_search, seed, Recipe())
    identity = {"data": data.content_hash, "seed": seed, "recipe": asdict(Recipe())}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = Path(cache_dir) / f"clf{DIM}-{data.name}-{digest}.safetensors"
    if not path.exists():
        _write(path, _trained(data, data.labels, data.labels_search, seed, Recipe()), identity)
    return _read(path, data.shape)


@lru_cache(maxsize=4)
def for_data(data: Data, cache_dir: str | Path | None = None) -> Extractor:
    """The classifier where the data have labels, else the random ConvNet. Raises ValueError for 2-D data."""
    if len(data.shape) != 3:
        raise ValueError(f"data: {data.name} are points of shape {data.shape}; compare them without an extractor")
    return random_convnet(data.train) if data.labels is None else classifier(data, cache_dir=cache_dir)


def _initial(shape: tuple[int, ...], generator: torch.Generator) -> list[Tensor]:
    """He-initialised weights, in turn of a convolution and its bias: one at full resolution, then strided ones down
    to at most 4 pixels a side, then the linear layer of the features."""
    channels, height, width = shape
    sizes, maps = [(16, channels, 3, 3)], 16
    while max(height, width) > 4:
        sizes.append((32, maps, 3, 3))
        maps, height, width = 32, (height + 1) // 2, (width + 1) // 2
    weights: list[Tensor] = []
    for size in [*sizes, (DIM, maps * height * width)]:
        scale = math.sqrt(2 / math.prod(size[1:]))
        weights.append(torch.randn(size, generator=generator, dtype=torch.float64) * scale)
        weights.append(torch.randn(size[:1], generator=generator, dtype=torch.float64) * 0.1)
    return weights


def _features(weights: list[Tensor], x: Tensor) -> Tensor:
    """x: (n, C, H, W). Returns (n, DIM)."""
    for i in range(0, len(weights) - 2, 2):
        x = F.leaky_relu(F.conv2d(x, weights[i], weights[i + 1], stride=2 if i else 1, padding=1), 0.2)
    return F.leaky_relu(F.linear(x.flatten(1), weights[-2], weights[-1]), 0.2)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread inside, the number from before after: sums then have one order on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def _in_slices(weights: list[Tensor], images: np.ndarray) -> Tensor:
    """images: (n, C, H, W). Returns (n, DIM); memory stays small whatever n."""
    with torch.inference_mode():
        return torch.cat([_features(weights, torch.tensor(images[i:i + 64], dtype=torch.float64))
                          for i in range(0, max(1, len(images)), 64)])


@_one_thread()
def _standardised(name: str, weights: list[Tensor], train: np.ndarray | DiskImages,
                  accuracy: float | None) -> Extractor:
    features = _in_slices(weights, some(train))
    return Extractor(name, tuple(train.shape[1:]), weights, features.mean(0), features.std(0), accuracy)


@_one_thread()
def _trained(data: Data, labels: np.ndarray, labels_search: np.ndarray, seed: int, recipe: Recipe) -> Extractor:
    generator = torch.Generator().manual_seed(seed)
    classes = int(labels.max()) + 1
    weights = _initial(data.shape, generator)
    head = torch.randn(classes, DIM, generator=generator, dtype=torch.float64) / math.sqrt(DIM)
    for weight in [*weights, head]:
        weight.requires_grad_()
    adam = torch.optim.AdamW([*weights, head], lr=recipe.lr, weight_decay=recipe.weight_decay)
    learned = drawn(len(labels), len(labels) if isinstance(data.train, np.ndarray) else LEARNED)
    x, y = torch.tensor(data.train[learned], dtype=torch.float64), torch.tensor(labels[learned])
    for _ in range(recipe.epochs):
        for batch in torch.randperm(len(x), generator=generator).split(recipe.batch_size):
            adam.zero_grad()
            F.cross_entropy(F.linear(_features(weights, x[batch]), head), y[batch]).backward()
            adam.step()
    fixed = [weight.detach() for weight in weights]
    guess = F.linear(_in_slices(fixed, data.search), head.detach()).argmax(1).numpy()
    return _standardised(f"clf{DIM}", fixed, data.train, float(np.mean(guess == labels_search)))


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
