"""The index of images on disk: the SHA-256, facts and place of every image, made once and kept beside the data cache.

A file is taken to be what it was while its name, size and time of change (mtime, ns) are: identity is given by content,
and contents are read once. So a file that is changed in place to the same length with its old time put back is not
noticed here, only when it is decoded: its SHA-256 is compared then. Of a folder, only new and changed files are read
again. The images of containers (Parquet, CIFAR-10) have no place of their own that can be read by itself, so their
encoded bytes are copied into one file, which takes as much disk as they do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import ipc

from models.cpus import usable_cpus
from models.data.disk.cifar import cifar_files, cifar_items
from models.data.disk.options import DataError, DiskOptions, parquet_files
from models.data.disk.pixels import inspect
from models.data.disk.sources import ABSENT, ANY, FileStat, Item, parquet_items, read_file, walk

VERSION = 2  # to be raised when an index holds something else
MAX_THREADS = 4
CHUNK = 512  # images looked at in one go; those of a container, which are in memory then, at most CHUNK_BYTES in all
CHUNK_BYTES = 2**26
MANY, LARGE = 5000, 2**27  # files, and bytes of containers, from which on it is said that they are read
SCHEMA = pyarrow.schema([
    ("name", pyarrow.binary()), ("size", pyarrow.int64()), ("mtime_ns", pyarrow.int64()),  # of files
    ("offset", pyarrow.int64()),  # in the copy, of containers
    ("digest", pyarrow.binary(32)), ("facts", pyarrow.uint8()), ("side", pyarrow.int32()), ("broken", pyarrow.string()),
    ("label", pyarrow.int16()), ("part", pyarrow.uint8())])
Say = Callable[[str], None]
MOST_CLASSES = 1000


def threads() -> int:
    """How many look at images, or decode them, at once."""
    return min(MAX_THREADS, usable_cpus())


@dataclass(frozen=True, eq=False)
class Index:
    """One row an image, broken ones included, in the order of their names."""

    root: str
    table: pyarrow.Table  # of SCHEMA, mapped from its file
    copy: str | None  # the file with the encoded bytes of containers
    others: Counter[str]  # files that are no images by their names, a suffix each

    def column(self, name: str) -> np.ndarray:
        """A column of numbers; digests as (n, 4) big-endian words."""
        if name == "digest":
            chunks = [np.frombuffer(c.buffers()[1], ">u8", len(c) * 4, c.offset * 32)
                      for c in self.table.column(name).chunks]
            return np.concatenate(chunks or [np.empty(0, ">u8")]).reshape(-1, 4)
        return np.asarray(self.table.column(name).to_numpy())

    def name(self, row: int) -> str:
        """For people: without half characters and terminal codes."""
        text = os.fsdecode(self.table.column("name")[row].as_py()).encode("utf-8", "backslashreplace").decode()
        return text if text.isprintable() else repr(text)[1:-1]

    def read(self, row: int) -> bytes:
        """The encoded image. Raises OSError, DataError where it is no longer what was indexed."""
        if self.copy is None:
            try:
                data = read_file(self.root, self.table.column("name")[row].as_py())
            except ValueError:
                data = b""
        else:
            with open(self.copy, "rb", buffering=0) as file:
                size, offset = (self.table.column(key)[row].as_py() for key in ("size", "offset"))
                data = os.pread(file.fileno(), size, offset)
        if hashlib.sha256(data).digest() != self.table.column("digest")[row].as_py():
            place = os.path.join(self.root, self.name(row)) if self.copy is None else f"{self.copy}, {self.name(row)}"
            raise DataError((), f"found {place} changed since it was indexed, expected the same data as long as a "
                                "study runs; launch again" + ("" if self.copy is None else f", without {self.copy}"))
        return data


def open_index(options: DiskOptions, cache: Path, say: Say = lambda line: None) -> Index:
    """The index of the data: as it was left, brought up to date, or made. Raises DataError.

    One process makes it, others wait. say: told once where this will take a while.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        look = _folder if options.kind in ("folder", "classes") else _container
        return look(options, cache, say)
    except OSError as error:
        if error.filename and not str(error.filename).startswith(str(cache)):
            raise DataError((options.kind,), f"found {error.filename}, which cannot be read ({error.strerror}), "
                                             "expected readable data") from error
        raise DataError((options.kind,), f"found no room or no right to write in {cache} ({error.strerror or error}), "
                                         "expected a place to keep the data's index") from error


def _folder(options: DiskOptions, cache: Path, say: Say) -> Index:
    stats, others = walk(options.path, options.kind)
    labels = iter(class_of([stat.name for stat in stats]) if options.kind == "classes" else repeat(-1))
    file = cache / f"index-{_key(options)}.arrow"
    with _alone(file):
        old = _read(file)
        if old is None or not _is_current(old, stats):
            known = {} if old is None else _rows_by_stat(old)
            fresh = [stat for stat in stats if stat not in known]
            if len(fresh) >= MANY:
                say(f"data: reading {len(fresh):,} files of {options.path} once, to know them again by their content")
            found = _looked_at(options.path, fresh)
            with _written(file) as sink, ipc.new_file(sink, SCHEMA) as writer:
                rows = ((*stat, -1, *(_kept(old, known[stat]) if stat in known else next(found)), next(labels), ANY)
                        for stat in stats)
                while chunk := list(islice(rows, CHUNK)):
                    writer.write_batch(_batch(chunk))
            old = _read(file)
    assert old is not None
    return Index(options.path, old, None, others)


def class_of(names: Sequence[bytes]) -> list[int]:
    """Of each file the class, in the order of the folders' names. names: relative to the folder that has the classes'.
    Raises DataError where there are no two classes, or files beside them."""
    folders = [name.partition(b"/")[0] if b"/" in name else b"" for name in names]
    known = {folder: k for k, folder in enumerate(sorted({*folders} - {b""}))}
    if beside := folders.count(b""):
        raise DataError(("classes",), f"found {beside:,} images beside the folders, expected each in the folder of its "
                                      "class; take folder: for images without classes")
    if not 2 <= len(known) <= MOST_CLASSES:
        raise DataError(("classes",), f"found {len(known):,} folders with images, expected 2 to {MOST_CLASSES:,}, one "
                                      "for each class; take folder: for images without classes")
    return [known[folder] for folder in folders]


def _container(options: DiskOptions, cache: Path, say: Say) -> Index:
    files = (parquet_files if options.kind == "parquet" else cifar_files)(options.path)
    stats = [(os.fsencode(name).decode("latin1"), of.st_size, of.st_mtime_ns)
             for name, of in zip(files, map(os.stat, files), strict=True)]
    key = _key(options, stats)
    file, copy = cache / f"index-{key}.arrow", cache / f"bytes-{key}"
    with _alone(file):
        table = _read(file)
        size = 0 if table is None else int(np.maximum(0, table.column("size").to_numpy()).sum())
        if table is None or not copy.exists() or copy.stat().st_size != size:
            if sum(size for _, size, _ in stats) >= LARGE:
                say(f"data: reading {options.path} once, to know it again by its content")
            items = parquet_items(options.path, options.column) if options.kind == "parquet" else cifar_items(
                options.path)
            with _written(file) as sink, _written(copy) as bulk, ipc.new_file(sink, SCHEMA) as writer:
                for chunk in _copied(items, bulk):
                    writer.write_batch(_batch(chunk))
            table = _read(file)
    assert table is not None
    return Index(options.path, table, str(copy), Counter())


def _copied(items: Iterable[Item], bulk: Any) -> Iterator[list[tuple[Any, ...]]]:
    offset, held = 0, 0
    waiting: list[Item] = []
    workers = threads()

    def rows() -> list[tuple[Any, ...]]:
        nonlocal offset
        found = []
        looks = _each(pool, workers, lambda item: _look(item.data), waiting)
        for item, look in zip(waiting, looks, strict=True):
            bulk.write(item.data or b"")
            size = len(item.data or b"")
            found.append((item.name.encode(), size, 0, offset, *look, item.label, item.part))
            offset += size
        return found

    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(item)
            held += len(item.data or b"")
            if len(waiting) == CHUNK or held > CHUNK_BYTES:
                yield rows()
                waiting, held = [], 0
        yield rows()


def _looked_at(root: str, stats: Iterable[FileStat]) -> Iterator[tuple[Any, ...]]:
    """digest, facts, side, broken of files, in their order."""
    def look(stat: FileStat) -> tuple[Any, ...]:
        if stat.size == ABSENT:
            return _look(None)
        try:
            return _look(read_file(root, stat.name))
        except OSError as error:
            return bytes(32), 0, 0, error.strerror or "cannot be read"
        except ValueError as error:
            return bytes(32), 0, 0, str(error)

    todo, workers = iter(stats), threads()
    with ThreadPoolExecutor(workers) as pool:
        while chunk := list(islice(todo, CHUNK)):
            yield from _each(pool, workers, look, chunk)


def _each(pool: ThreadPoolExecutor, workers: int, look: Callable[[Any], Any], things: list[Any]) -> Iterator[Any]:
    """`look` at each thing, in order: a piece a thread, since handing over one by one costs more than most looks."""
    piece = -(-len(things) // workers) or 1
    pieces = [things[i:i + piece] for i in range(0, len(things), piece)]
    for found in pool.map(lambda part: [look(thing) for thing in part], pieces):
        yield from found


def _look(data: bytes | None) -> tuple[Any, ...]:
    if data is None:
        return bytes(32), 0, 0, "there is none"
    return hashlib.sha256(data).digest(), *inspect(data)


def _is_current(table: pyarrow.Table, stats: list[FileStat]) -> bool:
    columns = [table.column(key) for key in FileStat._fields]
    wanted = zip(*stats, strict=True) if stats else ((), (), ())
    return len(table) == len(stats) and all(
        column.combine_chunks().equals(pyarrow.chunked_array([pyarrow.array(values, column.type)]).combine_chunks())
        for column, values in zip(columns, wanted, strict=True))


def _rows_by_stat(table: pyarrow.Table) -> dict[FileStat, int]:
    columns = (table.column(key).to_pylist() for key in FileStat._fields)
    return {FileStat(*values): row for row, values in enumerate(zip(*columns, strict=True))}


def _kept(table: pyarrow.Table | None, row: int) -> tuple[Any, ...]:
    assert table is not None
    return tuple(table.column(key)[row].as_py() for key in ("digest", "facts", "side", "broken"))


def _batch(rows: list[tuple[Any, ...]]) -> pyarrow.RecordBatch:
    return pyarrow.record_batch([pyarrow.array(values, field.type)
                                 for values, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
                                if rows else [pyarrow.array([], field.type) for field in SCHEMA], schema=SCHEMA)


def _read(file: Path) -> pyarrow.Table | None:
    """An index as it was left; None where there is none, or no whole one."""
    try:
        table = ipc.open_file(pyarrow.memory_map(str(file))).read_all()
    except (FileNotFoundError, pyarrow.ArrowInvalid):
        return None
    return table if table.schema == SCHEMA else None


def _key(options: DiskOptions, *more: Any) -> str:
    meaning = [VERSION, options.kind, options.path, options.column, *more]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Others that want to make the same file wait."""
    with open(f"{file}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _written(path: Path) -> Iterator[Any]:
    """A file that appears whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".part", delete=False) as file:
        try:
            yield file
            file.flush()
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)
