"""What a spec may say about images on disk, and what is wrong with it. Imports no torch, no numpy and no pillow."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KINDS = {  # the key that makes data such data -> what its path should be
    "folder": "a folder of images, at any depth",
    "classes": "a folder with a folder of images for each class",
    "parquet": "Parquet files with an image column: a file, a folder of them, or a pattern such as /data/*.parquet",
    "cifar10": "CIFAR-10's own archive, of either version, or the folder that it unpacks to",
}
LABELLED = ("cifar10", "classes")  # kinds whose images have classes
KEYS = ("size", "channels", "range", "splits", "refuse_broken")
SIZES = (8, 64)  # pixels a side: what the networks are made for
HELD_OUT = ("search", "confirm")
EACH = 500  # images of each of them, where nothing else is said
MAX_HELD_OUT = 20_000  # images of a split that stays in memory
Unknown = Callable[[str, tuple[str, ...]], str]
Problem = tuple[tuple[str, ...], str]  # the key below `data`, what was found and expected


@dataclass(frozen=True)
class DiskOptions:
    """Images on disk, checked."""

    kind: str
    path: str
    size: int  # pixels a side
    channels: int  # 1: grey, 3: colour
    low: float  # data units of black
    high: float  # and of white
    search: int  # images held out
    confirm: int
    refuse_broken: float  # the largest share of images that may be unreadable
    column: str  # of Parquet


class DataError(ValueError):
    """Data that cannot be used. `key`: which key below `data` it is about; args[0]: found and expected."""

    def __init__(self, key: tuple[str, ...], message: str) -> None:
        self.key, self.message = key, message
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return DataError, (self.key, self.message)  # an exception is pickled with its args alone, and workers' are

    def __str__(self) -> str:
        return f"{'.'.join(('data', *self.key))}: {self.message}"


def kind_of(data: Mapping[str, Any]) -> str | None:
    """A key of KINDS; None for a built-in data set."""
    return next((kind for kind in KINDS if kind in data), None)


def resolved(data: Mapping[str, Any], base: str = "") -> dict[str, Any]:
    """The mapping with defaults filled in and an absolute path, relative to `base`; for one without problems."""
    kind = kind_of(data)
    assert kind is not None
    given = {key: value for key, value in data.items() if value is not None}
    native = {"size": 32, "channels": 3} if kind == "cifar10" else {}
    full = {"range": [-1.0, 1.0], "refuse_broken": 0.01, **native, **given}
    found = {kind: _absolute(full[kind], base), **{key: full[key] for key in ("size", "channels")},
             "range": [float(end) for end in full["range"]],
             "splits": {split: (given.get("splits") or {}).get(split, EACH) for split in HELD_OUT},
             "refuse_broken": float(full["refuse_broken"])}
    return found | ({"column": full.get("column", "image")} if kind == "parquet" else {})


def options(data: Mapping[str, Any]) -> DiskOptions:
    """The mapping of a spec, as it stands under `data`. Raises DataError with its first problem."""
    for key, message in problems(data):
        raise DataError(key, message)
    full, kind = resolved(data), str(kind_of(data))
    (low, high), splits = full["range"], full["splits"]
    return DiskOptions(kind, full[kind], full["size"], full["channels"], low, high, splits["search"], splits["confirm"],
                       full["refuse_broken"], full.get("column", ""))


NEAREST, FARTHEST = 1e-3, 1e6  # of black and white: beyond, float32 holds no distances between images


def problems(data: Mapping[str, Any], base: str = "", unknown: Unknown | None = None,
             needed: bool = True) -> Iterator[Problem]:
    """Everything that is wrong with the mapping; looks whether the path is there, and no further. unknown: what is said
    of a key that is none, given those that are. needed: whether the path must be there."""
    kind = str(kind_of(data))
    known = (kind, *KEYS, *(("column",) if kind == "parquet" else ()))
    for key in data:
        if key not in known:
            if key in KINDS:
                yield (key,), f"found {kind} and {key}, expected one of {', '.join(KINDS)}; keep one"
                continue
            yield (key,), unknown(key, known) if unknown else f"unknown key; expected one of {', '.join(known)}"
    yield from _path_problems(kind, data[kind], base, needed)
    for key, good, expected in (("size", lambda v: _whole(v, *SIZES), f"a whole number from {SIZES[0]} to {SIZES[1]}, "
                                 "pixels a side"), ("channels", lambda v: _whole(v, 1, 3) and v != 2, "1 (grey) or 3")):
        if data.get(key) is None:
            if kind != "cifar10":
                yield (key,), f"missing; expected {expected}"
        elif not good(data[key]):
            yield (key,), f"found {data[key]!r}, expected {expected}"
    ends = data.get("range")
    if ends is not None and not (isinstance(ends, list | tuple) and len(ends) == 2 and all(map(_number, ends))
                                 and abs(ends[0]) <= FARTHEST and NEAREST <= ends[1] - ends[0] <= FARTHEST):
        yield ("range",), (f"found {ends!r}, expected [low, high], such as [-1, 1]: black and white, {NEAREST:g} to "
                           f"{FARTHEST:g} apart")
    share = data.get("refuse_broken")
    if share is not None and not (_number(share) and 0 <= share <= 1):
        yield ("refuse_broken",), f"found {share!r}, expected a share from 0 to 1"
    column = data.get("column")
    if kind == "parquet" and column is not None and not (isinstance(column, str) and column):
        yield ("column",), f"found {column!r}, expected a column's name"
    yield from _split_problems(data.get("splits"))


def _split_problems(splits: Any) -> Iterator[Problem]:
    if splits is not None and not isinstance(splits, Mapping):
        yield ("splits",), f"found {splits!r}, expected a mapping such as {{search: 500, confirm: 500}}"
        return
    for split, count in (splits or {}).items():
        if split not in HELD_OUT:
            yield ("splits", split), f"unknown key; expected {' or '.join(HELD_OUT)} (train is all the rest)"
        elif not _whole(count, 2, MAX_HELD_OUT):
            yield ("splits", split), f"found {count!r}, expected a whole number from 2 to {MAX_HELD_OUT:,}"


def _path_problems(kind: str, value: Any, base: str, needed: bool) -> Iterator[Problem]:
    if not isinstance(value, str) or not value or "\0" in value:
        yield (kind,), f"found {value!r}, expected the path of {KINDS[kind]}"
        return
    path = _absolute(value, base)
    there = {"parquet": parquet_files, "cifar10": os.path.exists}.get(kind, os.path.isdir)(path)
    if needed and not there:
        found = "nothing" if not os.path.exists(path) else "no file *.parquet" if kind == "parquet" else "a file"
        yield (kind,), f"found {found} at {path}, expected {KINDS[kind]}"


def parquet_files(path: str) -> list[str]:
    """The Parquet files that a path means, sorted by name."""
    if os.path.isdir(path):
        path = os.path.join(glob.escape(path), "*.parquet")
    return sorted(name for name in ([path] if os.path.isfile(path) else glob.glob(path)) if os.path.isfile(name))


def _absolute(path: str, base: str) -> str:
    return os.path.abspath(os.path.join(base, os.path.expanduser(path)))


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
