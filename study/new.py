"""Look at your own images, and write a small study of them that can be launched as it is.

    python -m study.new --images DIR

Exit codes: 0 done, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # Python put the working directory first, whose models/ or random.py would come before ours
    sys.path[:not sys.flags.safe_path] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    from study.interrupt import silent

    silent()

import json
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from study.arguments import new_parser
from study.ending import DONE, ended
from study.schema.output import script

if TYPE_CHECKING:
    import argparse

    from models.data.disk.index import Index
    from models.data.disk.options import DiskOptions

SIZE = 16  # pixels a side: what is trained in minutes on two cores
COLOURS = {1: "grey", 3: "colour"}
LOOKED_AT = 50  # images that are decoded to see whether they are in colour
BROKEN = (0.01, 0.02, 0.05, 0.1)  # shares of broken files that pass, and are said; of more the data are refused
STEPPED = ("kl", "jko")  # whose step size is varied; that of the others is of another kind, and stays as it is
PARTICLES, SAMPLES = 64, 256  # the fewest, since each should move often, and the most

CLASSIFIER = "a classifier of the classes judges samples; a larger network may stand beside it"
TEXT = """\
# {seen}.
# `python -m study.new` wrote this, and it runs as it is. All keys: docs/spec.md, of data: docs/data.md.
study: {name}
question: {question}
data:
{data}  size: {size}  # pixels a side, 8 to 64; time grows with its square
  channels: {channels}  # 1: grey, 3: colour
  splits: {{search: {held}, confirm: {held}}}  # held out, to judge samples by
method: {methods}  # others, and all knobs: docs/knobs.md
train: {{updates: 300, batch_size: 32, width: 8}}  # more of updates and width: better samples
design:
  replicates: {replicates}  # seeds of every cell: the fewest with which a comparison can be significant
{design}evaluation:
  points: 6  # 12, with 600 updates, goes on from what is trained then (docs/trained.md)
  samples: {samples}  # at most as many as a split holds out, and as there are particles
  long_run: 2
  # {features}:
  # features: {{file: inception.pt2, sha256: CHECKSUM, size: 299}}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = new_parser().parse_args(argv)
    return ended(lambda: _checked(arguments))


def _checked(arguments: argparse.Namespace) -> int:
    from models.data.disk.options import DataError
    from study.store.units import StorageError

    kind = "--parquet" if arguments.images is None else "--images"
    flags: dict[tuple[str, ...], str] = {("size",): "--size", ("column",): "--column"}
    try:
        return _new(arguments)
    except DataError as error:
        raise StorageError(f"{flags.get(error.key, kind)}: {error.message}") from error


def _new(arguments: argparse.Namespace) -> int:
    from models.data.disk.index import open_index
    from models.data.disk.options import options
    from models.data.load import load
    from study.show import command
    from study.show.plan import NO_LABELS
    from study.spec import loads
    from study.spec.check import name_problem
    from study.store.cache import cache_dir
    from study.store.files import DEFAULT_STORAGE
    from study.store.units import StorageError, Store

    folder = "classes" if arguments.classes else "folder"
    kind, place = (folder, arguments.images) if arguments.parquet is None else ("parquet", arguments.parquet)
    if arguments.classes and kind == "parquet":
        raise StorageError("--classes: found with --parquet, expected with --images: classes are folders")
    name = arguments.study or _name_of(place)
    if problem := name_problem(name):
        raise StorageError(f"--study: {problem}")
    out = Path(arguments.out or f"{name}.yaml")
    if out.is_dir():
        raise StorageError(f"--out {out}: is a folder, expected a file, such as {out / name}.yaml")
    if out.exists() and not arguments.force:
        raise StorageError(f"--out {out}: is there already; --force writes over it")
    chosen = options({kind: place, "size": arguments.size or SIZE, "channels": 3} | (
        {"column": arguments.column} if kind == "parquet" else {}))
    if kind != "parquet" and Path.cwd().is_relative_to(os.path.realpath(chosen.path)):
        raise StorageError(f"--images {place}: is or holds this folder, where a study leaves pictures of its own; cd "
                           "to another one")
    cache = cache_dir(Store(DEFAULT_STORAGE, name))  # where a launch looks for the index
    seen = _look(open_index(chosen, cache / "images", print), chosen)
    text = _written(seen, arguments, name, {
        kind: _path_from(out, chosen.path), **({"column": chosen.column} if chosen.column else {})})
    spec = loads(text, str(out))
    data = load(spec.data, cache_dir=cache)  # as a launch will: what is wrong with it is said now
    try:
        out.write_text(text, encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise StorageError(f"--out {out}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
    print(f"{place}: {seen}", data.notes,
          f"chosen: {'x'.join(map(str, data.shape))}; {len(data.train):,} to train on, {len(data.search):,} and "
          f"{len(data.confirm):,} held out; {' and '.join(spec.arms)}",
          *([] if arguments.classes else [NO_LABELS]),
          f"{out} is written; next: {command.module('study.launch')} --space {shlex.quote(str(out))}", sep="\n")
    return DONE


def _name_of(place: str) -> str:
    path = Path(os.path.abspath(os.path.expanduser(place)))
    name = path.stem if path.is_file() else path.name
    return re.sub("[^A-Za-z0-9._-]+", "-", name).strip("-._")[:100] or "images"


def _path_from(out: Path, path: str) -> str:
    """Relative where the images lie beside the study's file or below, so that both may move together."""
    here = out.absolute().parent
    return os.path.relpath(path, here) if Path(path).is_relative_to(here) else path


@dataclass(frozen=True)
class Seen:
    """What there is, and what it allows."""

    images: int  # different ones that are not broken
    held: int  # of a split
    broken: float  # share of broken files that has to pass
    sides: tuple[int, int, int]  # the smallest, median and largest of the images' shorter sides
    channels: int
    folders: int
    classes: bool  # whether folders are read as such

    def __str__(self) -> str:
        low, middle, high = self.sides
        sides = f"{low} pixels" if low == high else f"{low} to {high} pixels (median {middle})"
        how = "by class" if self.classes else "which are not read as classes (--classes does)"
        folders = f", in {self.folders} folders, {how}" if self.folders > 1 else ""
        return f"{self.images:,} different images, shorter side {sides}, {COLOURS[self.channels]}{folders}"


def _look(index: Index, chosen: DiskOptions) -> Seen:
    """Raises DataError for images of which no study can be made."""
    import numpy as np

    from models.data.disk.options import DataError
    from models.data.disk.pixels import pixels
    from models.data.disk.splits import ROOM, fitting, lay_out

    side, words = index.column("side"), index.column("digest")
    good = np.flatnonzero(side > 0)
    rows = good[np.unique(words[good], axis=0, return_index=True)[1]]
    held = fitting(len(rows)) or ROOM
    share = 1 - len(good) / max(1, len(side))
    broken = next((most for most in BROKEN if share <= most), BROKEN[-1])
    lay_out(index, replace(chosen, search=held, confirm=held, refuse_broken=broken))
    looked: list[np.ndarray] = []
    for row in rows[:LOOKED_AT].tolist():
        with suppress(ValueError, OSError):  # damaged, which is said when all are loaded
            looked.append(pixels(index.read(row), 8, 3))
    if looked and all(np.array_equal(looked[0], one) for one in looked):
        raise DataError((chosen.kind,), f"found {len(looked)} different files of {len(rows)} that all look the same, "
                                        "expected images that differ")
    coloured = [bool(np.ptp(one, axis=0).any()) for one in looked]
    low, middle, high = (int(np.quantile(side[good], q)) for q in (0, 0.5, 1))
    folders = {os.path.dirname(name) for name in index.table.column("name").to_pylist()}
    return Seen(len(rows), held, broken, (low, middle, high), 3 if 2 * sum(coloured) > len(coloured) else 1,
                len(folders), chosen.kind == "classes")


def _written(seen: Seen, arguments: argparse.Namespace, name: str, place: dict[str, str]) -> str:
    """The study's file. place: where the images lie, as `data` says it."""
    from models.data.disk.options import SIZES
    from study.show.plan import NO_LABELS, enough_replicates

    methods, samples = list(dict.fromkeys(arguments.method)), min(SAMPLES, seen.held)
    data = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in place.items()]
    if seen.broken > BROKEN[0]:
        data.append(f"refuse_broken: {seen.broken}  # the share of files that may be broken; some are")
    design = [f"{method}: {{step_size: [0.05, 0.2], particles: {max(PARTICLES, samples)}}}" for method in methods
              if method in STEPPED]
    return TEXT.format(
        seen=seen, name=json.dumps(name),
        question=json.dumps(f"How stable is training on {name}, and how good are samples: {', '.join(methods)}?"),
        data=_lines(data), size=arguments.size or max(SIZES[0], min(SIZE, seen.sides[1])), channels=seen.channels,
        held=seen.held, methods=f"[{', '.join(methods)}]", replicates=enough_replicates(max(1, len(methods) - 1)),
        design=_lines(design), samples=samples,
        features=CLASSIFIER if seen.classes else NO_LABELS.replace("; ", ";\n  # "))


def _lines(items: list[str]) -> str:
    return "".join(f"  {item}\n" for item in items)


command_line = script(main)


if __name__ == "__main__":
    sys.exit(command_line())
