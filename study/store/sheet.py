"""A sample sheet: what a replicate generates at the end, as one small PNG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

DATA_SHEET = "data_samples.png"  # in the study's storage, and at its launches' runs
COLUMNS = 8
TILE = 32  # pixels a side of one image, at least: enlarged by a whole factor, without smoothing
PLANE = 256  # pixels a side of a sheet of 2-D samples
GAP = 4  # pixels between two tiles
PAPER, INK = 255, 0


def sheet(samples: np.ndarray, extent: tuple[float, float] | None = None) -> bytes:
    """PNG of the first 64 images (n, C, H, W) with values in extent, [-1, 1] by default, or of all points (n, 2) in
    extent x extent.

    Images: C is 1 or 3; values outside are clipped. Points outside the extent are drawn on its edge.
    """
    pixels = (_images(samples[:COLUMNS**2], extent or (-1.0, 1.0)) if samples.ndim == 4
              else _points(samples, extent or (-4.0, 4.0)))
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format="PNG")  # optimize=True: a twentieth less, at ten times the time
    return sink.getvalue()


def data_sheet(train: np.ndarray, extent: tuple[float, float]) -> bytes:
    """The sheet of real data that stands beside those of samples: 64 images of the train split (256 points), drawn by a
    fixed generator."""
    chosen = np.random.default_rng(0).choice(len(train), min(len(train), COLUMNS**2 if train.ndim == 4 else 256), False)
    return sheet(train[chosen], extent)


def pairs(samples: np.ndarray, train: np.ndarray, extent: tuple[float, float]) -> bytes:
    """PNG of the first 32 images (n, C, H, W), each with its nearest training image (pixel distance) right below."""
    import torch

    shown = samples[:4 * COLUMNS]
    mine, real = (torch.from_numpy(np.array(x, np.float64)).flatten(1) for x in (shown, train))
    nearest = train[torch.cdist(mine, real).argmin(1).numpy()]
    starts = range(0, len(shown), COLUMNS)
    return sheet(np.concatenate([x[i:i + COLUMNS] for i in starts for x in (shown, nearest)]), extent)


def _images(images: np.ndarray, extent: tuple[float, float]) -> np.ndarray:
    """Tiles in rows of COLUMNS, paper between them. (h, w) or (h, w, 3) uint8."""
    n, c, height, width = images.shape
    scale = max(1, -(-TILE // height))
    low, high = extent
    grey = np.rint((np.clip(images, low, high) - low) * (255 / (high - low))).astype(np.uint8)
    grey = grey.repeat(scale, axis=2).repeat(scale, axis=3).transpose(0, 2, 3, 1)
    rows, step_y, step_x = -(-n // COLUMNS), height * scale + GAP, width * scale + GAP
    page = np.full((rows * step_y + GAP, COLUMNS * step_x + GAP, c), PAPER, np.uint8)
    for i, tile in enumerate(grey):
        y, x = i // COLUMNS * step_y + GAP, i % COLUMNS * step_x + GAP
        page[y:y + step_y - GAP, x:x + step_x - GAP] = tile
    return page[..., 0] if c == 1 else page


def _points(points: np.ndarray, extent: tuple[float, float]) -> np.ndarray:
    """Dots of 3 x 3 pixels; the second coordinate grows upwards."""
    low, high = extent
    at = np.clip(np.rint((points - low) / (high - low) * (PLANE - 3)), 0, PLANE - 3).astype(int)
    page = np.full((PLANE, PLANE), PAPER, np.uint8)
    for dy in range(3):
        for dx in range(3):
            page[PLANE - 1 - at[:, 1] - dy, at[:, 0] + dx] = INK
    return page
