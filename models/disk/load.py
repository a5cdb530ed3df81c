"""Images from disk as Data: search and confirm in memory, train as an array that is read batch by batch."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from models.data import Data
from models.disk.index import Index, Say, open_index
from models.disk.options import DiskOptions, options
from models.disk.pixels import RECIPE
from models.disk.rows import LEVELS, DiskImages, Rows
from models.disk.splits import Layout, lay_out

_LATEST: dict[tuple[DiskOptions, str, str], Data] = {}  # what this process loaded last


def load_disk(spec: Mapping[str, Any], cache_dir: str | Path | None = None, say: Say = lambda line: None) -> Data:
    """The images that `data` of a spec describes. Raises DataError with the key that it is about.

    cache_dir: where index and decoded images are kept (None: the user's cache). A process that asks again gets the same
    object as long as the data are the same.
    """
    chosen = options(spec)
    # What damaged metadata deserve is a count, not lines on a terminal.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    cache = (Path(cache_dir) if cache_dir is not None else _users_cache()) / "images"
    index = open_index(chosen, cache, say)
    layout = lay_out(index, chosen)
    key = chosen, layout.content_hash, str(cache)
    if key not in _LATEST:
        _LATEST.clear()
        _LATEST[key] = _data(chosen, index, layout, cache)
    return _LATEST[key]


def _data(chosen: DiskOptions, index: Index, layout: Layout, cache: Path) -> Data:
    # Another decoder may differ in the last bit, so its pixels lie elsewhere.
    recipe = f"{layout.content_hash} {RECIPE} {PIL.__version__}"
    name = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    rows = Rows(index, layout, chosen.size, chosen.channels, cache / f"pixels-{name}")
    splits = {split: DiskImages(rows, *layout.split(split), chosen.low, chosen.high)
              for split in ("train", "search", "confirm")}
    held = {split: splits[split][:] for split in ("search", "confirm")}
    labels = {split: _labels(index, layout, split) for split in splits}
    for array in [*held.values(), *(found for found in labels.values() if found is not None)]:
        array.flags.writeable = False
    return Data(
        name=f"{chosen.kind} {os.path.basename(chosen.path)}", shape=rows.shape, train=splits["train"], **held,
        labels=labels["train"], labels_search=labels["search"], labels_confirm=labels["confirm"],
        quantum=(chosen.high - chosen.low) / LEVELS, density=None, content_hash=layout.content_hash,
        extent=(chosen.low, chosen.high), notes=layout.notes)


def _labels(index: Index, layout: Layout, split: str) -> np.ndarray | None:
    start, end = layout.split(split)
    found = index.column("label")[layout.rows[start:end]].astype(np.int64)
    return found if len(found) and found.min() >= 0 else None


def _users_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "ebm-study"
