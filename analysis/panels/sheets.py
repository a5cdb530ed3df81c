"""The pixels of sample sheets, alone and side by side. `f(data, ax) -> ax`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from analysis.panels.palette import ALARM, INK, SOFT

ACROSS, GAP = 8, 4  # images a row of a sheet and pixels between them, as study/store/sheet.py lays it out
NOTE = 44  # letters of a line under a sheet
WIDE, NARROW = 7, 2  # columns a band at most; pixels to an image's nearest
ROOM, TITLE, UNDER = 3, 5, 6  # lines over images: at least, and at most; under them at most
LINE, COLUMN, PICTURE, PLANE = 0.14, 0.8, 0.42, 1.25  # inches: a line of a title, a column, an image, a plane


@dataclass(frozen=True)
class Column:
    """One method of the joint figure: the images of its first chains, and below each index the nearest of training."""

    title: str
    images: list[np.ndarray]  # (h, w) or (h, w, 3) uint8
    nearest: list[np.ndarray]
    alarm: bool = False
    note: str = ""  # under it


def sample_sheet(path: Path, ax: Axes, *, shape: Sequence[int], note: str, alarm: bool = False) -> Axes:
    """A sample sheet (PNG), pixel for pixel, without the white between its images, and a note under it; in the colour
    of an alarm where it diverged. shape: of one datum, (C, H, W)."""
    bare = _bare(_between_cleared(_pixels(path), shape), ax)
    bare.set_xlabel(textwrap.fill(note, NOTE), color=ALARM if alarm else SOFT, fontsize=8.5)
    return ax


def _between_cleared(page: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The page with an alpha of 0 between the images, where the reader's paper is seen; of points as it is."""
    wide, high = _tile(page, shape)
    if not wide:
        return page
    image = [np.arange(n) % (tile + GAP) >= GAP for n, tile in zip(page.shape, (high, wide), strict=False)]
    colours = page if page.ndim == 3 else page[..., None].repeat(3, 2)
    return np.dstack([colours, np.outer(*image).astype(np.uint8) * 255])


def _tile(page: np.ndarray, shape: Sequence[int]) -> tuple[int, int]:
    """Width and height of an image of a sheet; 0 where it is none of images."""
    wide = (page.shape[1] - GAP) // ACROSS - GAP
    return (wide, wide // shape[2] * shape[1]) if len(shape) == 3 and wide >= shape[2] else (0, 0)


def cut(path: Path, shape: Sequence[int], count: int, nearest: bool = False) -> list[np.ndarray]:
    """The first `count` images (at most 8) of a sheet; of a sheet of points the whole. shape: of one datum, (C, H, W).

    nearest: of a sheet of pairs the training images, which stand in its second row.
    """
    page = _pixels(path)
    wide, high = _tile(page, shape)
    if not wide:
        return [page]
    top = GAP + (high + GAP if nearest else 0)
    lefts = [GAP + k * (wide + GAP) for k in range(min(count, ACROSS))]
    return [page[top:top + high, left:left + wide] for left in lefts]


def side_by_side(columns: Sequence[Column], ax: Axes) -> Axes:
    """One column per method, one row per chain: the same index of the same noise, beside each image its nearest."""
    page, places, _ = _layout(columns)
    _bare(page, ax)
    for column, (x, y, under) in zip(columns, places, strict=True):
        ax.text(x, y, "\n".join(_lines(column.title, TITLE)), ha="left", va="bottom", fontsize=7.5, linespacing=1.15,
                color=ALARM if column.alarm else INK, gid="title")
        ax.text(x, under, "\n".join(_lines(column.note, UNDER)), ha="left", va="top", fontsize=7, linespacing=1.15,
                color=ALARM if column.alarm else SOFT, gid="note")
    return ax


def joint_size(columns: Sequence[Column]) -> tuple[float, float]:
    """Inches of `side_by_side`."""
    page, _, inch = _layout(columns)
    return page.shape[1] * inch + 0.1, page.shape[0] * inch + 0.1


def _layout(columns: Sequence[Column]) -> tuple[np.ndarray, list[tuple[float, float, float]], float]:
    """The page (h, w, 4) with every image at its place and nothing elsewhere (titles are read on the paper, light or
    dark), where the columns' titles and notes stand, and inches a pixel."""
    first = next(c.images for c in columns if c.images)
    (high, wide), chains = first[0].shape[:2], max(len(c.images) for c in columns)
    inch = (PICTURE if chains > 1 else PLANE) / wide
    lines = max(ROOM, *(len(_lines(c.title, TITLE)) for c in columns))
    over, row, gap, least = round(lines * LINE / inch), high + NARROW, round(0.12 / inch), round(COLUMN / inch)
    spans = [max(wide + (wide + NARROW if c.nearest else 0), least) + gap for c in columns]
    each = math.ceil(len(columns) / math.ceil(len(columns) / WIDE))
    bands = [range(i, min(i + each, len(columns))) for i in range(0, len(columns), each)]
    across = max(sum(spans[k] for k in band) for band in bands)
    under = max(len(_lines(c.note, UNDER)) for c in columns)
    deep = over + chains * row + round((under + 0.5) * LINE / inch if under else 0)
    page = np.zeros((len(bands) * deep, across, 4), np.uint8)
    places = []
    for b, band in enumerate(bands):
        x, y = 0, b * deep + over
        for k in band:
            places.append((float(x), y - 3.0, y + chains * row + 2.0))
            for at, images in ((x, columns[k].images), (x + wide + NARROW, columns[k].nearest)):
                for i, image in enumerate(images):
                    place = page[y + i * row:y + i * row + high, at:at + wide]
                    place[..., :3], place[..., 3] = image if image.ndim == 3 else image[..., None], 255
            x += spans[k]
    return page, places, inch


def _lines(words: str, most: int) -> list[str]:
    """At most so many lines that a column is wide enough for."""
    return [line for part in words.split("\n") for line in textwrap.wrap(part, 15)][:most]


def _pixels(path: Path) -> np.ndarray:
    """A PNG as (h, w) or (h, w, 3) uint8."""
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("L" if picture.mode in ("L", "1", "I;16") else "RGB"))


def _bare(pixels: Any, ax: Axes) -> Axes:
    """Pixels without axes."""
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="none")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax
