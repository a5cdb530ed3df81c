"""Which images are trained on and which are held out, and the sentence that says what became of all of them.

Images stand in the order of their SHA-256, which is a random order that no file's name or place changes. The `search`
first ones are the search split, the `confirm` last ones the confirm split, those between are trained on. So adding
files moves only as many images as it pushes across the two ends, never one from search to confirm; equal images are
one (kept once), so none is in two splits; and a folder and a Parquet file of the same images are the same data.
CIFAR-10 keeps its own split: search and confirm are such ends of its test batch, and an image that is in it and in a
data batch is trained on, whatever order its archive has.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass

import numpy as np

from models.data.disk.index import Index
from models.data.disk.options import EACH, DataError, DiskOptions
from models.data.disk.pixels import RECIPE, Fact
from models.data.disk.sources import HELD_OUT
from models.stability.local_sd import NEIGHBOURS

NAMED = 3  # broken images that are named
LEAST = 2 * NEIGHBOURS + 4  # images to train on: with fewer their local spread cannot be measured
ROOM = 6  # images held out in a split: precision and recall are absent below


@dataclass(frozen=True, eq=False)
class Layout:
    """Rows of the index in the order search, train, confirm; the splits' ends; what a person should know."""

    rows: np.ndarray  # (n,) int32
    ends: tuple[int, int, int]  # of search, train, confirm
    copies: np.ndarray  # (n,) int32: files that are this image
    allowed: int  # files that may still turn out damaged
    files: int  # of all kinds, broken ones included
    notes: str
    content_hash: str

    def split(self, name: str) -> tuple[int, int]:
        """Start and end of a split in `rows`."""
        edges = (0, *self.ends)
        at = ("search", "train", "confirm").index(name)
        return edges[at], edges[at + 1]


def lay_out(index: Index, options: DiskOptions) -> Layout:
    """Splits, counts and content hash. Raises DataError where too many images are broken, or too few are left."""
    good = np.flatnonzero(index.column("side") > 0)
    broken = np.flatnonzero(index.column("side") <= 0)
    _refuse(index, options, len(good), broken)
    order = good[_sorted(index, good)]
    words = index.column("digest")[order]
    twice = np.zeros(len(order), bool)
    twice[1:] = (words[1:] == words[:-1]).all(1)
    part = index.column("part")[order]
    copies = np.zeros(len(index.table), np.int32)
    copies[order[~twice]] = np.diff(np.append(np.flatnonzero(~twice), len(twice)))
    order, part = order[~twice], part[~twice]
    held = order[part == HELD_OUT] if (part == HELD_OUT).any() else order
    _check_room(options, len(held), None if held is order else len(order) - len(held))
    search, confirm = held[:options.search], held[len(held) - options.confirm:]
    train = held[options.search:len(held) - options.confirm] if held is order else order[part != HELD_OUT]
    rows = np.concatenate([search, train, confirm]).astype(np.int32)
    ends = (len(search), len(search) + len(train), len(rows))
    unused = len(order) - len(rows)
    return Layout(rows, ends, copies[rows], _allowed(options, len(good), len(broken)), len(good) + len(broken),
                  _notes(index, options, order, int(twice.sum()), broken, unused),
                  _content_hash(index, options, rows, ends))


def fitting(images: int, least: int = LEAST) -> int:
    """How many of so many images each held-out split should have, where at least `least` are trained on; 0 where there
    are too few. A quarter each, EACH at most: of 520 images enough for `fd`, of 640 for `fdinf`, which needs most."""
    fit = min(EACH, images // 4, (images - least) // 2)
    fit -= fit % 10 ** max(0, len(str(fit)) - 2)  # a round number
    return fit if fit >= ROOM else 0


def _check_room(options: DiskOptions, held: int, train: int | None) -> None:
    """Raises DataError where the splits leave too few images to train on. held: images that they are cut from; train:
    those that are trained on whatever the splits are, None where these are the rest."""
    least = LEAST if train is None else 0
    if train is not None and train < LEAST:
        raise DataError((options.kind,), f"found {train:,} different images to train on, expected at least {LEAST}")
    needed = options.search + options.confirm + least
    if held >= needed:
        return
    parts = f"{options.search:,} for search, {options.confirm:,} for confirm" + (
        f", {least} to train on" if least else "")
    enough = 2 * ROOM + least
    cure = (f"for {held:,} images write splits: {{search: {fit}, confirm: {fit}}}" if (fit := fitting(held, least)) else
            f"these are too few; with {enough} write splits: {{search: {ROOM}, confirm: {ROOM}}}")
    raise DataError(("splits",), f"found {held:,} different images, expected at least {needed:,} ({parts}); {cure}")


def _sorted(index: Index, good: np.ndarray) -> np.ndarray:
    """By SHA-256; of equal images that for training first, then the smaller label, then the first name."""
    words, part, label = (index.column(key)[good] for key in ("digest", "part", "label"))
    return np.lexsort((label, part, *words.T[::-1]))


def _allowed(options: DiskOptions, good: int, broken: int) -> int:
    """How many more files may be broken; below 0: too many are."""
    return math.floor(options.refuse_broken * (good + broken) + 1e-6) - broken


def _refuse(index: Index, options: DiskOptions, good: int, broken: np.ndarray) -> None:
    total = good + len(broken)
    if not total:
        others = [f"{n:,} {suffix or 'without a suffix'}" for suffix, n in index.others.most_common(NAMED)]
        only = f", only files that are none by their names ({', '.join(others)})" if others else ""
        instead = f"; take parquet: {options.path}" if ".parquet" in index.others else ""
        raise DataError((options.kind,), f"found no image in {options.path}{only}, expected images{instead}")
    if _allowed(options, good, len(broken)) < 0:
        raise DataError(("refuse_broken",), f"found {len(broken):,} of {total:,} images broken "
                                            f"({len(broken) / total:.2%}), expected at most {options.refuse_broken:g}"
                                            f" of them: {_named(index, broken)}")


def _named(index: Index, broken: np.ndarray) -> str:
    column = index.table.column("broken")
    names = [f"{index.name(row)} ({column[row].as_py()})" for row in broken[:NAMED].tolist()]
    return ", ".join([*names, *([f"and {len(broken) - NAMED:,} more"] if len(broken) > NAMED else [])])


def _notes(index: Index, options: DiskOptions, order: np.ndarray, twice: int, broken: np.ndarray, unused: int) -> str:
    facts, side = index.column("facts")[order], index.column("side")[order]

    def count(fact: Fact) -> int:
        return int(((facts & int(fact)) > 0).sum())

    changed = (count(Fact.GREY), "grey made colour") if options.channels == 3 else (
        count(Fact.COLOUR), "colour made grey")
    counts = [changed, (count(Fact.TRANSPARENT), "transparent laid on white"),
              (count(Fact.PALETTE), "with a palette"), (count(Fact.DEEP), "of 16 bits made 8"),
              (count(Fact.ROTATED), "turned as their EXIF says"), (count(Fact.ANIMATED), "animated, first frame"),
              (int((side < options.size).sum()), f"below {options.size} pixels made larger"),
              (twice, "left out as equal to another"), (unused, "of the test batch not used"),
              (index.others.total(), "other files passed over"), (len(broken), "broken")]
    said = [f"{n:,} {what}" for n, what in counts if n]
    if len(broken):
        said[-1] += f": {_named(index, broken)}"
    return ", ".join([f"{len(order):,} images", *said])


def _content_hash(index: Index, options: DiskOptions, rows: np.ndarray, ends: tuple[int, int, int]) -> str:
    """Of what the splits hold, in whatever files it lies: the images as they are encoded, labels, size and range."""
    meaning = [RECIPE, options.size, options.channels, options.low, options.high, ends]
    digest = hashlib.sha256(json.dumps(meaning).encode())
    digest.update(np.ascontiguousarray(index.column("digest")[rows]).data)
    digest.update(np.ascontiguousarray(index.column("label")[rows].astype("<i2")).data)
    return digest.hexdigest()
