"""CIFAR-10's own archive: the binary version, or the Python version through an unpickler that builds only arrays.

Both hold 3,072 bytes an image: 1,024 of red, then green, then blue, row by row. The five data batches are for training,
the test batch is what search and confirm are taken from. A batch of the Python version is a pickled dictionary; a
pickle is a program, so nothing is called here but what makes a numpy array.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from models.data.disk.options import DataError
from models.data.disk.sources import HELD_OUT, TRAIN, Item

BATCH = re.compile(r"(data_batch_[1-5]|test_batch)(\.bin)?$")
NEEDED = {*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"}
SIDE, PIXELS = 32, 3072
MAX_BATCH = 2**26  # bytes; a true one has 31 MB


def cifar_files(path: str) -> list[str]:
    """The archive, or the batches in a folder."""
    return [path] if os.path.isfile(path) else [
        os.path.join(path, name) for name in sorted(os.listdir(path)) if BATCH.fullmatch(name)]


def cifar_items(path: str) -> Iterator[Item]:
    """Every image as a PPM file with its label. Raises DataError for what is not such an archive."""
    seen = set()
    for name, data in _batches(path):
        stem, binary = name.removesuffix(".bin"), name.endswith(".bin")
        if stem in seen:
            raise _wrong(f"{name}, of which there are two", "each batch once, of one version")
        seen.add(stem)
        labels, images = _binary(name, data) if binary else _pickled(name, data)
        for row, (label, image) in enumerate(zip(labels, images, strict=True)):
            colours = image.reshape(3, SIDE, SIDE).transpose(1, 2, 0).tobytes()
            yield Item(f"{name}[{row}]", b"P6 %d %d 255\n" % (SIDE, SIDE) + colours, int(label),
                       HELD_OUT if stem == "test_batch" else TRAIN)
    if NEEDED - seen:
        raise _wrong(f"no {', '.join(sorted(NEEDED - seen))} in {path}", "data_batch_1 to data_batch_5 and test_batch")


def _batches(path: str) -> Iterator[tuple[str, bytes]]:
    if os.path.isdir(path):
        for name in cifar_files(path):
            with open(name, "rb") as file:
                yield os.path.basename(name), file.read(MAX_BATCH)
        return
    try:
        with tarfile.open(path) as archive:  # read member by member: nothing is unpacked to the disk
            for member in archive:
                name = os.path.basename(member.name)
                if member.isfile() and BATCH.fullmatch(name):
                    content = archive.extractfile(member)
                    assert content is not None
                    yield name, content.read(MAX_BATCH)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _wrong(f"{path}, which cannot be read as an archive ({error})", "a whole .tar.gz") from error


def _binary(name: str, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A label's byte, then the pixels, a record each."""
    if not data or len(data) % (PIXELS + 1):
        raise _wrong(f"{len(data):,} bytes in {name}", f"records of {PIXELS + 1:,} bytes")
    records = np.frombuffer(data, np.uint8).reshape(-1, PIXELS + 1)
    return _checked(name, records[:, 0], records[:, 1:])


def _pickled(name: str, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        # Python 2's strings come as bytes: the keys of the archive's own files are such.
        batch = _OnlyArrays(io.BytesIO(data), encoding="bytes").load()
        found = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        return _checked(name, np.asarray(found["labels"], np.int64), np.asarray(found["data"]))
    except DataError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise _wrong(f"{name}, which cannot be read ({type(error).__name__}: {error})",
                     "a pickled dictionary with `data` and `labels`, and nothing else that is called") from error


def _checked(name: str, labels: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if images.dtype != np.uint8 or images.shape != (len(labels), PIXELS):
        raise _wrong(f"{images.dtype} images of shape {images.shape} and {len(labels)} labels in {name}",
                     f"uint8 and (n, {PIXELS})")
    if len(labels) and not 0 <= labels.min() <= labels.max() <= 9:
        raise _wrong(f"labels from {labels.min()} to {labels.max()} in {name}", "0 to 9")
    return labels, images


def _reconstruct(kind: type, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """What numpy's own function of this name does, for arrays alone."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"found {kind}, expected an array")
    return np.ndarray.__new__(np.ndarray, shape, dtype)


def _frombuffer(data: bytes | bytearray, dtype: Any, shape: tuple[int, ...], order: Any, *more: Any) -> np.ndarray:
    """The same, of pickle protocol 5: `more` is a permutation of the axes, which no image has."""
    if not isinstance(dtype, np.dtype) or more not in ((), (None,)):
        raise pickle.UnpicklingError("found an array of another layout, expected rows of numbers")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _scalar(dtype: Any, data: bytes = b"") -> Any:
    """The same, of a single label."""
    if not isinstance(dtype, np.dtype) or dtype.kind not in "iu":
        raise pickle.UnpicklingError(f"found a value of kind {dtype}, expected a whole number")
    return np.frombuffer(data, dtype)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes in an old pickle."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"found bytes in {encoding!r}, expected latin1")
    return text.encode(encoding)


class _OnlyArrays(pickle.Unpickler):
    ALLOWED = {  # noqa: RUF012
        ("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype, ("_codecs", "encode"): _encode,
        **{(f"numpy.{core}.{module}", name): made for core in ("core", "_core")  # before and since numpy 2
           for module, name, made in (("multiarray", "_reconstruct", _reconstruct), ("multiarray", "scalar", _scalar),
                                      ("numeric", "_frombuffer", _frombuffer))}}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it calls {module}.{name}, which no image needs") from None


def _wrong(found: str, expected: str) -> DataError:
    return DataError(("cifar10",), f"found {found}, expected {expected}")
