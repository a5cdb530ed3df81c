"""Where images on disk come from: files of a folder, or the cells and records of containers, one after another."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from models.data.disk.options import DataError, parquet_files

SUFFIXES = frozenset(b".jpg .jpeg .jpe .jfif .png .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .avif .jp2".split())
MAX_BYTES = 2**28  # of one encoded image
ABSENT = -1  # size of a file that a link names and that is not there


class FileStat(NamedTuple):
    """What tells cheaply whether a file is still the one that was read."""

    name: bytes  # relative to the folder, as the file system spells it
    size: int
    mtime_ns: int


class Item(NamedTuple):
    """One encoded image of a container. data: None where there is none. part: ANY, TRAIN or HELD_OUT."""

    name: str
    data: bytes | None
    label: int = -1
    part: int = 0


ANY, TRAIN, HELD_OUT = 0, 1, 2  # which splits an image may go to


def walk(root: str, key: str = "folder") -> tuple[list[FileStat], Counter[str]]:
    """The image files below `root`, sorted by name, and how many other files there are of each suffix.

    An image file is one with an image's suffix. What begins with a dot is hidden, and passed over; links are followed,
    each folder once. Raises DataError, about `key`, for a folder that may not be read.
    """
    top = os.fsencode(root)
    found: list[FileStat] = []
    others: Counter[str] = Counter()
    left, seen = [b""], set()
    while left:
        folder = left.pop()
        try:
            status = os.stat(os.path.join(top, folder))
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(os.path.join(top, folder)) as entries:
                for entry in entries:
                    name = os.path.join(folder, entry.name)
                    if entry.name.startswith(b"."):
                        continue
                    if entry.is_dir():
                        left.append(name)
                    elif (suffix := os.path.splitext(entry.name)[1].lower()) not in SUFFIXES:
                        others[suffix.decode("ascii", "backslashreplace")] += 1
                    elif entry.is_file():
                        status = entry.stat()
                        found.append(FileStat(name, status.st_size, status.st_mtime_ns))
                    elif entry.is_symlink():
                        found.append(FileStat(name, ABSENT, 0))
        except OSError as error:
            raise DataError((key,), f"found {os.fsdecode(os.path.join(top, folder))}, which cannot be read "
                                         f"({error.strerror}), expected a folder of images") from error
    return sorted(found), others


def read_file(root: str, name: bytes) -> bytes:
    """An encoded image. Raises OSError, and ValueError for a file that is no image by its size."""
    with open(os.path.join(os.fsencode(root), name), "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    return data


def parquet_items(path: str, column: str) -> Iterator[Item]:
    """The images of a column, file by file and row by row: structs of `bytes` and `path`, as the hub writes them, or
    binary, of whichever of Arrow's kinds. Raises DataError for files and columns that are not that.
    """
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    for name in parquet_files(path):
        short = os.path.basename(name)
        try:
            # Buffered: else a whole column chunk, often hundreds of MB, is read at once.
            with pyarrow.parquet.ParquetFile(name, buffer_size=2**20, pre_buffer=False) as file:
                leaf = _leaf(file.schema_arrow, column, short)
                row, size = 0, 16
                if "dictionary<" in str(file.schema_arrow):
                    size = 256  # a batch brings the dictionary of its row group, which is all its different images
                for batch in file.iter_batches(batch_size=size, columns=[leaf], use_threads=False):
                    values = batch.column(0)
                    if pyarrow.types.is_struct(values.type):  # unlike field(), this keeps a null struct null
                        values = pyarrow.compute.struct_field(values, "bytes")
                    for value in values:
                        yield Item(f"{short}[{row}]", value.as_py())
                        row += 1
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(("parquet",), f"found {name}, which cannot be read ({' '.join(str(error).split())[:200]}), "
                                          "expected a Parquet file") from error


def _leaf(schema: Any, column: str, file: str) -> str:
    """The column to read, such as `image.bytes`."""
    from pyarrow import types

    def is_binary(kind: Any) -> bool:
        if types.is_dictionary(kind):
            return is_binary(kind.value_type)
        return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
                    or types.is_fixed_size_binary(kind))

    leaves: dict[str, str] = {}
    for field in schema:
        if is_binary(field.type):
            leaves[field.name] = field.name
        elif types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            if is_binary(field.type.field("bytes").type):
                leaves[field.name] = f"{field.name}.bytes"
    if column not in leaves:
        there = f"of kind {schema.field(column).type}" if column in schema.names else "no such column"
        known = ": " + ", ".join(leaves) if leaves else ", of which this file has none"
        raise DataError(("column",), f"found {column!r}, {there} in {file}, expected a column of encoded images "
                                     f"(binary, or a struct with binary `bytes`){known}")
    return leaves[column]
