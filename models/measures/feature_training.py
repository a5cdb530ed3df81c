"""How the data set's own feature extractors learn: the ConvNet, its classifier, and its contrastive training.

Weights are a list, in turn those of a layer and its bias. All is float64, in one thread, from a generator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.training.adam import Adam

DIM = 64


@dataclass(frozen=True)
class Recipe:
    """How the classifier is trained. Part of a cached file's name: another recipe is another extractor."""

    version: int = 1
    epochs: int = 10
    batch_size: int = 25
    lr: float = 2e-3
    weight_decay: float = 1e-2


@dataclass(frozen=True)
class Contrast:
    """How an extractor learns without labels. Part of a cached file's name, too.

    An image's view is shifted by up to an eighth of a side, its contrast and brightness differ by up to a fifth, a
    square of a quarter of a side is grey, and noise is added.
    """

    version: int = 1
    epochs: int = 20  # with these bounds, since few images need many epochs, and many few
    least_updates: int = 50
    most_updates: int = 200
    batch_size: int = 64
    lr: float = 2e-3
    weight_decay: float = 1e-2
    temperature: float = 0.5
    noise: float = 0.1
    light: float = 0.2


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside, the number from before after: sums then have one order on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def initial(shape: tuple[int, ...], generator: torch.Generator) -> list[Tensor]:
    """He-initialised weights: a convolution at full resolution, then strided ones down to at most 4 pixels a side,
    then the linear layer of the features."""
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


def features(weights: list[Tensor], x: Tensor) -> Tensor:
    """x: (n, C, H, W). Returns (n, DIM)."""
    for i in range(0, len(weights) - 2, 2):
        x = F.leaky_relu(F.conv2d(x, weights[i], weights[i + 1], stride=2 if i else 1, padding=1), 0.2)
    return F.leaky_relu(F.linear(x.flatten(1), weights[-2], weights[-1]), 0.2)


@one_thread()
def in_slices(weights: list[Tensor], images: np.ndarray) -> Tensor:
    """images: (n, C, H, W). Returns (n, DIM); memory stays small whatever n."""
    with torch.inference_mode():
        return torch.cat([features(weights, torch.tensor(images[i:i + 64], dtype=torch.float64))
                          for i in range(0, max(1, len(images)), 64)])


@one_thread()
def classify(images: np.ndarray, labels: np.ndarray, seed: int, recipe: Recipe) -> tuple[list[Tensor], Tensor]:
    """images: (n, C, H, W); labels: (n,). Returns the ConvNet's weights and the classes' (classes, DIM)."""
    x, y = torch.tensor(images, dtype=torch.float64), torch.tensor(labels)

    def loss(weights: list[Tensor], head: Tensor, batch: Tensor, generator: torch.Generator) -> Tensor:
        return F.cross_entropy(F.linear(features(weights, x[batch]), head), y[batch])

    def batches(generator: torch.Generator) -> Iterator[Tensor]:
        for _ in range(recipe.epochs):
            yield from torch.randperm(len(x), generator=generator).split(recipe.batch_size)

    return _train(images.shape[1:], int(labels.max()) + 1, loss, batches, seed, recipe)


@one_thread()
def contrast(images: np.ndarray, seed: int, recipe: Contrast) -> list[Tensor]:
    """images: (n, C, H, W). Returns the ConvNet's weights.

    Each view of an image is to be told from the views of the batch's other images, as SimCLR does (Chen et al. 2020,
    the loss NT-Xent).
    """
    x = torch.tensor(images, dtype=torch.float64)

    def loss(weights: list[Tensor], head: Tensor, batch: Tensor, generator: torch.Generator) -> Tensor:
        views = torch.cat([view(x[batch], generator, recipe) for _ in range(2)])
        z = F.normalize(F.linear(features(weights, views), head), dim=1)
        alike = (z @ z.T / recipe.temperature).fill_diagonal_(-math.inf)
        return F.cross_entropy(alike, torch.arange(len(z)).roll(len(batch)))

    def batches(generator: torch.Generator) -> Iterator[Tensor]:
        updates = recipe.epochs * math.ceil(len(x) / recipe.batch_size)
        for _ in range(max(recipe.least_updates, min(updates, recipe.most_updates))):
            yield torch.randperm(len(x), generator=generator)[:recipe.batch_size]

    return _train(images.shape[1:], DIM, loss, batches, seed, recipe)[0]


def view(x: Tensor, generator: torch.Generator, recipe: Contrast) -> Tensor:
    """x: (n, C, H, W). Returns (n, C, H, W): another view of each image, as `Contrast` says."""
    n, _, *sides = x.shape
    rows = torch.arange(n)

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1

    far = [max(1, side // 8) for side in sides]
    padded = F.pad(x, (far[1], far[1], far[0], far[0]), mode="replicate")
    down, right = (torch.randint(2 * most + 1, (n, 1), generator=generator) + torch.arange(side)
                   for most, side in zip(far, sides, strict=True))
    shifted = padded[rows[:, None, None], :, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)
    lit = shifted * (1 + recipe.light * uniform(n, 1, 1, 1)) + recipe.light * uniform(n, 1, 1, 1)
    high, wide = (_stretch(n, side, generator) for side in sides)
    noise = recipe.noise * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    return (lit + noise).masked_fill((high[:, :, None] & wide[:, None, :])[:, None], 0.0)


def _stretch(n: int, side: int, generator: torch.Generator) -> Tensor:
    """(n, side): whether a pixel lies in a stretch of a quarter of the side, at a random place."""
    long = max(1, side // 4)
    at = torch.arange(side) - torch.randint(side - long + 1, (n, 1), generator=generator)
    return (at >= 0) & (at < long)


Loss = Callable[[list[Tensor], Tensor, Tensor, torch.Generator], Tensor]


def _train(shape: tuple[int, ...], outputs: int, loss: Loss, batches: Callable[[torch.Generator], Iterator[Tensor]],
           seed: int, recipe: Recipe | Contrast) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weights = initial(shape, generator)
    head = torch.randn(outputs, DIM, generator=generator, dtype=torch.float64) / math.sqrt(DIM)
    for weight in [*weights, head]:
        weight.requires_grad_()
    adam, alive = Adam([*weights, head], recipe.lr, (0.9, 0.999), recipe.weight_decay), torch.ones(1, dtype=torch.bool)
    for update, batch in enumerate(batches(generator), 1):
        adam.step(torch.autograd.grad(loss(weights, head, batch, generator), adam.parameters), update, alive)
    return [weight.detach() for weight in weights], head.detach()
