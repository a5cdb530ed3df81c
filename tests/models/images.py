"""Images on disk as people have them, made by the tests."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from models.data.data import Data
from models.data.load import load


def encoded(array: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """(H, W) or (H, W, C) uint8, or (H, W) uint16, as a file."""
    sink = io.BytesIO()
    Image.fromarray(array).save(sink, kind, **options)
    return sink.getvalue()


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def tiles(n: int, size: int = 8, channels: int = 3) -> list[bytes]:
    """n different PNGs of this size."""
    shape = (size, size) if channels == 1 else (size, size, channels)
    return [encoded(noise(seed, *shape)) for seed in range(n)]


def deep_png(array: np.ndarray, clear: tuple[int, ...] = ()) -> bytes:
    """(H, W, C) uint16 as a PNG of 16 bits a channel, which pillow does not write; C is 1, 2 (alpha), 3 or 4 (alpha).
    clear: the transparent colour."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = array.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + (chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear)) if clear else b"")
            + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def without_scan(jpeg: bytes) -> bytes:
    """A JPEG that ends as one and holds no pixels."""
    return jpeg[:jpeg.index(b"\xff\xda")] + b"\xff\xd9"


def without_table(jpeg: bytes) -> bytes:
    """A JPEG whose first Huffman table is no such."""
    at = jpeg.index(b"\xff\xc4")
    return jpeg[:at + 5] + b"\xff" * 20 + jpeg[at + 25:]


def folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def spec(kind: str, path: Path, **more: Any) -> dict[str, Any]:
    return {kind: str(path), "size": 8, "channels": 3, "splits": {"search": 5, "confirm": 4}} | more


def parquet(path: Path, images: list[bytes | None], binary: bool = False, **options: Any) -> Path:
    """One file as the hub writes it, or with plain bytes."""
    if binary:
        column = pyarrow.array(images, pyarrow.binary())
    else:
        kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        column = pyarrow.array([{"bytes": image, "path": f"{k}.png"} for k, image in enumerate(images)], kind)
    table = pyarrow.table({"label": np.arange(len(images)), "image": column})
    pyarrow.parquet.write_table(table, path, **options)
    return path


class _Python2(pickle._Pickler):  # type: ignore[name-defined]
    """Writes bytes as Python 2 wrote its strings, so that a file is what CIFAR-10's archive holds."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)

    dispatch[bytes] = save_bytes


def python2(value: Any) -> bytes:
    sink = io.BytesIO()
    _Python2(sink, 2).dump(value)
    return sink.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def cifar_batches(n: int = 20, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> labels (n,), pixels (n, 3072): five data batches and the test batch."""
    rng = np.random.default_rng(seed)
    return {name: (rng.integers(0, 10, n), rng.integers(0, 256, (n, 3072), dtype=np.uint8))
            for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")}


def cifar_files(batches: Mapping[str, tuple[np.ndarray, np.ndarray]], binary: bool) -> dict[str, bytes]:
    """The files of the archive, of either version, with those that hold no images."""
    if binary:
        return {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n", **{
            f"cifar-10-batches-bin/{name}.bin": np.c_[labels.astype(np.uint8), pixels].tobytes()
            for name, (labels, pixels) in batches.items()}}
    return {"cifar-10-batches-py/readme.html": b"<meta>", "cifar-10-batches-py/batches.meta": python2({}), **{
        f"cifar-10-batches-py/{name}": python2({
            b"batch_label": b"a batch", b"labels": labels.tolist(), b"data": pixels, b"filenames": [b"a.png"]})
        for name, (labels, pixels) in batches.items()}}


def archive(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def at(kind: str, path: Path, cache: Path | None = None, **more: Any) -> Data:
    """The data that `spec` names; cache: by default beside the images."""
    return load(spec(kind, path, **more), cache_dir=cache or path.parent / "cache")
