"""Images on disk that only decoding finds damaged: named, counted, left out, stood in for, refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from models.data.disk import load as disk
from models.data.disk import rows as disk_rows
from models.data.disk.damage import CHANCE, Tally
from models.data.disk.options import DataError
from models.data.disk.pixels import pixels
from models.training.batches import batch
from tests.models import images
from tests.models.images import at

PNGS = images.tiles(60)
FILES = {f"{'ab'[k % 2]}/{k}.png": data for k, data in enumerate(PNGS)}
pytestmark = pytest.mark.usefixtures("forgetful")


def jpegs(n: int, first: int = 0) -> list[bytes]:
    return [images.encoded(images.noise(first + k, 16, 16, 3), "JPEG") for k in range(n)]


def in_order(files: list[bytes]) -> list[bytes]:
    return sorted(files, key=lambda data: hashlib.sha256(data).digest())


@pytest.mark.parametrize("damage", [images.without_table, images.without_scan])
def test_jpegs_that_only_decoding_finds_damaged_are_named_and_refused(tmp_path: Path, damage: Any) -> None:
    """Two of five: those without a scan are equal files, of which one is looked at and all count."""
    files = {f"{k:03}.jpg": damage(data) if k % 5 < 2 else data for k, data in enumerate(jpegs(300))}
    path = images.folder(tmp_path / "faces", files)
    with pytest.raises(DataError, match=r"refuse_broken: found .* damaged .*expected at most 3 of 300 files.*: "
                                        r"\d+\.jpg \(.+\)"):
        at("folder", path, splits={"search": 60, "confirm": 60})
    data = at("folder", path, splits={"search": 60, "confirm": 60}, refuse_broken=0.4)
    grey = np.floor((np.concatenate([data.search, data.confirm]) + 1) * 128)
    assert len(np.unique(grey.reshape(len(grey), -1), axis=0)) == len(grey)


def test_held_out_splits_leave_damaged_images_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  lazily: None) -> None:
    """Nothing stands in: what is left are the other images, each once, and the content hash tells."""
    path = images.folder(tmp_path / "faces", FILES)
    true = at("folder", path, tmp_path / "one")
    order = in_order(list(PNGS))
    _broken_inside(monkeypatch, [order[1], order[3], order[57]])
    found = at("folder", path, tmp_path / "two", refuse_broken=0.1)
    assert np.array_equal(found.search, true.search[[0, 2, 4]])
    assert np.array_equal(found.confirm, true.confirm[[0, 2, 3]])
    assert np.array_equal(found.train[:], true.train[:])
    named = ", ".join(f"{name} (broken inside)" for data in (order[1], order[3], order[57])
                      for name, there in FILES.items() if there == data)
    assert found.notes == ("60 images; 3 of the first 9 decoded damaged, 2 left out of search, 1 left out of confirm: "
                           + named)
    disk._LATEST.clear()
    again = at("folder", path, tmp_path / "two", refuse_broken=0.1)
    assert found.content_hash == again.content_hash != true.content_hash and again.notes == found.notes
    with pytest.raises(DataError, match=r"found 2 of the 5 images decoded so far damaged \(40.00%; 2 files\), expected "
                                        r"at most 1 of 60 files"):
        at("folder", path, tmp_path / "two", refuse_broken=0.02)
    _broken_inside(monkeypatch, order[:4])
    with pytest.raises(DataError, match=r"splits.search: found 4 of its 5 images damaged, expected at least 2"):
        at("folder", path, tmp_path / "three", refuse_broken=1)


def _broken_inside(monkeypatch: pytest.MonkeyPatch, files: list[bytes]) -> None:
    def decode(data: bytes, *shape: int) -> np.ndarray:
        if data in files:
            raise ValueError("broken inside")
        return pixels(data, *shape)

    monkeypatch.setattr(disk_rows, "pixels", decode)
    monkeypatch.setattr(disk, "_LATEST", {})


def test_a_train_image_found_damaged_at_last_is_stood_in_for(tmp_path: Path, caplog: pytest.LogCaptureFixture,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    path = images.folder(tmp_path / "faces", FILES)
    true = at("folder", path, tmp_path / "one").train[:]
    order = in_order(list(PNGS))
    _broken_inside(monkeypatch, [order[8], order[9], order[55]])  # two in the middle of train, and its last
    found = at("folder", path, tmp_path / "two", refuse_broken=0.05)
    grey = np.floor((found.train[:] + 1) * 128)
    true = np.floor((true + 1) * 128)
    true[[3, 4, 50]] = true[[5, 5, 0]]
    assert np.array_equal(grey, true) and "is damaged (broken inside)" in caplog.text
    assert found.notes.startswith("60 images; 3 of the first 60 decoded damaged: ")


def test_training_ends_where_too_many_images_turn_out_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                              lazily: None) -> None:
    """With decoded images kept, too: what a process before this one found is counted when it is met."""
    path = images.folder(tmp_path / "faces", FILES)
    order = in_order(list(PNGS))
    _broken_inside(monkeypatch, order[20:24])
    words = r"found 4 of the \d+ images decoded so far damaged .*expected at most 3 of 60 files.*\(broken inside\)"
    for _ in range(2):
        disk._LATEST.clear()
        data = at("folder", path, refuse_broken=0.05)
        assert data.notes == "60 images"
        with pytest.raises(DataError, match=words):
            for update in range(20):
                batch(data.train, [0], update, 4)


def test_a_drawn_part_refuses_what_its_share_makes_all_but_certain() -> None:
    """Against the binomial law, for a part that is small beside the whole."""
    n = 10**6
    layout = SimpleNamespace(rows=np.zeros(n), copies=np.ones(n, int), allowed=n // 100, files=n)
    most = next(k for k in range(1000) if binomtest(k, 1000, 0.01, "greater").pvalue < CHANCE)
    assert 15 < most < 25
    places, tally = np.arange(1000), Tally(layout)  # type: ignore[arg-type]
    for _ in range(2):  # met again, counted once
        tally.add(places, places < most - 1, lambda places: "")
    assert tally.met.sum() == 1000 and tally.damaged.sum() == most - 1
    with pytest.raises(DataError, match=f"found {most} of the 1,000 images .*at most 10,000 of 1,000,000 .*: 0, 1, 2"):
        Tally(layout).add(places, places < most, lambda places: ", ".join(map(str, places)))  # type: ignore[arg-type]


def test_one_damaged_file_under_many_names_is_found_and_counted_as_often(tmp_path: Path, lazily: None) -> None:
    """No drawn part would meet it; here none is drawn."""
    order = in_order(jpegs(60))
    bad = next(data for data in map(images.without_table, jpegs(50, 100)) if order[9] < data and
               in_order([*order, data]).index(data) in range(10, 50))
    path = images.folder(tmp_path / "faces", {f"{k}.jpg": data for k, data in enumerate([*order, *[bad] * 4])})
    with pytest.raises(DataError, match=r"found 1 of the 10 images .*; 4 files\), expected at most 3 of 64 files"):
        at("folder", path, refuse_broken=0.05)
    assert at("folder", path, refuse_broken=0.07).notes == "61 images, 3 left out as equal to another"
