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

from models.data.data import SAMPLE, Data, drawn
from models.data.disk.damage import suspects
from models.data.disk.index import Index, Say, open_index
from models.data.disk.options import DataError, DiskOptions, options
from models.data.disk.pixels import RECIPE
from models.data.disk.rows import LEVELS, DiskImages, Rows
from models.data.disk.splits import Layout, lay_out

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
    # All that is held out is decoded, and of the train split the part that is measured (`some`).
    kept = {split: _whole(rows, layout, split) for split in ("search", "confirm")}
    start, end = layout.split("train")
    rows.damaged(np.union1d(start + drawn(end - start, SAMPLE), suspects(layout)))
    held = {split: splits[split][places - layout.split(split)[0]] for split, places in kept.items()}
    places = kept | {"train": np.arange(start, end)}
    labels = {split: _labels(index, layout.rows[places[split]]) for split in splits}
    for array in [*held.values(), *(found for found in labels.values() if found is not None)]:
        array.flags.writeable = False
    return Data(
        name=f"{chosen.kind} {os.path.basename(chosen.path)}", shape=rows.shape, train=splits["train"], **held,
        labels=labels["train"], labels_search=labels["search"], labels_confirm=labels["confirm"],
        quantum=(chosen.high - chosen.low) / LEVELS, density=None,
        content_hash=_content_hash(layout, kept), extent=(chosen.low, chosen.high), notes=_notes(rows, layout, kept))


def _whole(rows: Rows, layout: Layout, split: str) -> np.ndarray:
    """Places of a held-out split's images that can be decoded. Raises DataError where these are no split any more."""
    places = np.arange(*layout.split(split))
    kept = places.compress(~rows.damaged(places))
    if len(kept) < 2:
        raise DataError(("splits", split), f"found {len(places) - len(kept)} of its {len(places)} images damaged, "
                                           f"expected at least 2 that can be decoded: {rows.named(places)}")
    return kept


def _labels(index: Index, rows: np.ndarray) -> np.ndarray | None:
    found = index.column("label")[rows].astype(np.int64)
    return found if len(found) and found.min() >= 0 else None


def _lost(layout: Layout, kept: Mapping[str, np.ndarray]) -> dict[str, int]:
    """How many damaged images the held-out splits leave out; splits without such are not in it."""
    asked = {split: int(np.diff(layout.split(split))[0]) for split in kept}
    return {split: asked[split] - len(places) for split, places in kept.items() if len(places) < asked[split]}


def _content_hash(layout: Layout, kept: Mapping[str, np.ndarray]) -> str:
    """The layout's; where damaged images are left out of held-out splits also of what these keep."""
    if not _lost(layout, kept):
        return layout.content_hash
    digest = hashlib.sha256(layout.content_hash.encode())
    for places in kept.values():
        digest.update(places.astype("<i8").data)
    return digest.hexdigest()


def _notes(rows: Rows, layout: Layout, kept: Mapping[str, np.ndarray]) -> str:
    damaged, decoded = np.flatnonzero(rows.tally.damaged), int(rows.tally.met.sum())
    if not len(damaged):
        return layout.notes
    lost = "".join(f", {n:,} left out of {split}" for split, n in _lost(layout, kept).items())
    return f"{layout.notes}; {len(damaged):,} of the first {decoded:,} decoded damaged{lost}: {rows.named(damaged)}"


def _users_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "ebm-study"
