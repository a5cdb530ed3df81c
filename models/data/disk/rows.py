"""Images on disk as an array: decoded on demand, ahead of need, once; kept as bytes in a file that all processes share.

A record of the file is a checksum and the pixels of one image. It counts only if its checksum is right, so a file that
a full disk, a crash or another process left half written is never believed: the image is decoded again. The checksum of
an image that cannot be decoded is inverted, so that this is known without another try. Records are read and written by
position, not mapped: memory holds one batch, and the system's file cache does the rest.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from models.data.disk.damage import Tally
from models.data.disk.index import Index, threads
from models.data.disk.options import DataError
from models.data.disk.pixels import pixels
from models.data.disk.splits import NAMED, Layout

LEVELS = 256
FINE = 2**16  # steps of the dequantisation noise: v + u is then exact in single precision
MARK = 4  # bytes of a checksum
DAMAGED = 2**32 - 1  # turns the checksum of a record that stands for a damaged image
AT_ONCE = 512  # images that are looked at in one go, where only their damage is asked for
MAX_WAITING = 4096  # images that may wait to be decoded ahead of need


class Rows:
    """Pixels of the images of a layout, (n, C, H, W) uint8. For one thread that asks; several decode."""

    def __init__(self, index: Index, layout: Layout, size: int, channels: int, file: Path) -> None:
        self._index, self._layout = index, layout
        self.size, self.channels = size, channels
        self.shape = (channels, size, size)
        self._length = channels * size * size
        self._path = file
        self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        # What the dequantisation noise is drawn from: 16 bytes an image.
        self._keys = index.column("digest")[layout.rows][:, :2].astype(np.uint64)
        self._known = np.zeros(len(layout.rows), bool)  # records seen to be right
        self._damaged = np.zeros(len(layout.rows), bool)  # of these, those of images that cannot be decoded
        self.tally = Tally(layout)
        self._waiting: dict[int, Future[None]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # bound: at exit modules go first
        if self._pool is not None:
            # Work holds this object: there is none left, and the thread that let go of it last may be the pool's own.
            self._pool.shutdown(wait=False)
        close(self._file)

    def read(self, places: np.ndarray) -> np.ndarray:
        """(m, C, H, W) uint8 at places of the layout. Of a damaged image another one of the train split, or black in a
        held-out split. Raises DataError, also where too many are damaged, and OSError where a disk fails."""
        found = np.empty((len(places), self._length), np.uint8)
        missing = [k for k, place in enumerate(places.tolist()) if not self._load(place, found[k])]
        if missing:
            self._ask(places[missing], len(places) + MAX_WAITING)
            for k in missing:
                place = int(places[k])
                if place in self._waiting:
                    self._waiting.pop(place).result()
                if not self._load(place, found[k]):
                    raise DataError((), f"found {self._path} not keeping what is written to it, expected a disk with "
                                        "room and without faults")
        self.tally.add(places, self._damaged[places], self.named)
        return found.reshape(-1, *self.shape)

    def damaged(self, places: np.ndarray) -> np.ndarray:
        """(m,) bool: which images cannot be decoded. Raises DataError where they are too many."""
        for start in range(0, len(places), AT_ONCE):
            self.read(places[start:start + AT_ONCE])
        return self._damaged.take(places)

    def named(self, places: np.ndarray) -> str:
        """The first of these damaged images, each with its reason."""
        names = []
        for row in self._layout.rows[places[:NAMED]].tolist():
            data = self._index.read(row)
            try:
                pixels(data, self.size, self.channels)
            except ValueError as error:
                names.append(f"{self._index.name(row)} ({error})")
        return ", ".join([*names, *([f"and {len(places) - NAMED:,} more"] if len(places) > NAMED else [])])

    def prefetch(self, places: np.ndarray) -> None:
        """Begin to decode what will be asked for soon. Changes no value, only when it is ready."""
        self._waiting = {p: future for p, future in self._waiting.items() if not (future.done() and self._known[p])}
        self._ask(places[~self._known[places]], MAX_WAITING)

    def _ask(self, places: Iterable[int], most: int) -> None:
        for place in map(int, places):
            if place not in self._waiting and len(self._waiting) < most:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(threads(), "decode")
                self._waiting[place] = self._pool.submit(self._make, place)

    def _load(self, place: int, into: np.ndarray) -> bool:
        record = os.pread(self._file, MARK + self._length, place * (MARK + self._length))
        if len(record) < MARK + self._length:
            return False
        turned = int.from_bytes(record[:MARK], "little") ^ _mark(record[MARK:], place)
        if turned not in (0, DAMAGED):
            return False
        into[:] = np.frombuffer(record, np.uint8, offset=MARK)
        self._damaged[place], self._known[place] = turned == DAMAGED, True
        return True

    def _make(self, place: int) -> None:
        if self._known[place] or self._load(place, np.empty(self._length, np.uint8)):
            return
        image, damaged = self._decoded(place)
        data = image.tobytes()
        record = (_mark(data, place) ^ (DAMAGED if damaged else 0)).to_bytes(MARK, "little") + data
        if os.pwrite(self._file, record, place * len(record)) != len(record):
            raise OSError(f"{self._path}: no room for a record")
        self._damaged[place], self._known[place] = damaged, True

    def _decoded(self, place: int) -> tuple[np.ndarray, bool]:
        """The image, and whether it is damaged: then, in the train split, it is the next one that is not, so that no
        batch is short; a function of the data alone. A held-out split leaves it out."""
        start, end = self._layout.split("train")
        held_out = not start <= place < end
        if held_out:
            start, end = place, place + 1
        for step in range(end - start):
            row = int(self._layout.rows[start + (place - start + step) % (end - start)])
            data = self._index.read(row)
            try:
                return pixels(data, self.size, self.channels), step > 0
            except ValueError as error:
                logging.getLogger(__name__).warning(
                    "data: %s is damaged (%s); %s", self._index.name(row), error,
                    "it is left out" if held_out else "the next image stands in for it")
        if held_out:
            return np.zeros(self.shape, np.uint8), True
        raise DataError((), f"found no image of {end - start:,} that can be decoded, expected images")

    def keys(self, places: np.ndarray) -> np.ndarray:
        """(m, 2) uint64: half of the SHA-256 of the images."""
        keys: np.ndarray = self._keys[places]
        return keys


def _mark(data: bytes, place: int) -> int:
    return zlib.crc32(data, place + 1)


class DiskImages:
    """A split as an array (n, C, H, W) float32 that is read by indexing with a slice or with whole numbers.

    Dequantised like the built-in sets: low + (v + u) / 256 * (high - low), with u uniform on multiples of 2^-16 in
    [0, 1), a function of the image's content alone (Philox with half of its SHA-256 as key): the same in every epoch,
    process and split, with nothing to keep in memory.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, rows: Rows, start: int, end: int, low: float, high: float) -> None:
        self._rows, self._start, self._end = rows, start, end
        self._low, self._width = low, high - low
        self.shape: tuple[int, ...] = (end - start, *rows.shape)

    def __len__(self) -> int:
        return self._end - self._start

    def __getitem__(self, where: slice | np.ndarray) -> np.ndarray:
        """(m, C, H, W) float32, read-only to nobody: a fresh array. Raises IndexError outside of the split."""
        places = self._places(where)
        grey = self._rows.read(places)
        found = np.empty(grey.shape, np.float32)
        words = -(-found[0].size // 4) if len(found) else 0
        for k, key in enumerate(self._rows.keys(places)):
            noise = np.random.Philox(key=key).random_raw(words).astype("<u8", copy=False).view("<u2")
            fine = grey[k].astype(np.float64) * FINE + noise[:found[k].size].reshape(found[k].shape)
            found[k] = self._low + fine * (self._width / (LEVELS * FINE))
        return found

    def prefetch(self, where: np.ndarray) -> None:
        """Begin to decode what will be read soon."""
        self._rows.prefetch(self._places(where))

    def _places(self, where: slice | np.ndarray) -> np.ndarray:
        n = len(self)
        at = np.arange(*where.indices(n)) if isinstance(where, slice) else np.asarray(where)
        if at.size and not -n <= at.min() <= at.max() < n:
            raise IndexError(f"found {at.min()} to {at.max()}, expected places in {n} images")
        return self._start + at % n if at.size else at.astype(np.int64)
