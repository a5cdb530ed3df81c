"""Images on disk as data: the same whatever holds them, fixed disjoint splits, exact positions, bounded memory."""

from __future__ import annotations

import gc
import hashlib
import importlib
import os
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from models.data.data import Data
from models.data.disk import index as disk_index
from models.data.disk import load as disk
from models.data.disk import rows as disk_rows
from models.data.disk.options import DataError
from models.data.disk.pixels import pixels
from models.testing import tiny
from models.training.batches import batch
from models.training.checkpoint import load_state, save_state
from models.training.step import init_state
from tests.models import images
from tests.models.images import at

PNGS = images.tiles(60)
FILES = {f"{'ab'[k % 2]}/{k}.png": data for k, data in enumerate(PNGS)}
pytestmark = pytest.mark.usefixtures("forgetful")


def everything(data: Data) -> list[np.ndarray]:
    return [data.search, data.train[:], data.confirm]


def expected(pngs: list[bytes], low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """What the docstrings promise, by other means: sorted by SHA-256, dequantised by Philox of its first half."""
    rows = []
    for data in sorted(set(pngs), key=lambda data: hashlib.sha256(data).digest()):
        digest = hashlib.sha256(data).digest()
        key = [int.from_bytes(digest[i:i + 8], "big") for i in (0, 8)]
        u = np.random.Philox(key=np.array(key, np.uint64)).random_raw(48).view(np.uint16)[:192] / 65536
        rows.append(low + (high - low) * (pixels(data, 8, 3) + u.reshape(3, 8, 8)) / 256)
    return np.array(rows)


def test_a_folder_is_its_images_in_the_order_of_their_content(tmp_path: Path) -> None:
    data = at("folder", images.folder(tmp_path / "faces", FILES))
    assert [len(part) for part in everything(data)] == [5, 51, 4] and data.shape == (3, 8, 8)
    assert np.array_equal(np.concatenate(everything(data)), expected(PNGS).astype(np.float32))
    assert data.quantum == 2 / 256 and data.labels is None and data.notes == "60 images"
    wide = at("folder", tmp_path / "faces", range=[0, 3])
    assert np.allclose(np.concatenate(everything(wide)), expected(PNGS, 0, 3), atol=1e-6)
    assert wide.quantum == 3 / 256 and wide.extent == (0, 3)


def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    where = images.folder(tmp_path / "pets", {f"{name}/deep/{k}.png": PNGS[20 * j + k] for j, name in enumerate("cab")
                                              for k in range(20)})
    data = at("classes", where)
    labels = np.concatenate([data.labels_search, data.labels, data.labels_confirm])
    same = at("folder", where)
    assert all(np.array_equal(a, b) for a, b in zip(everything(data), everything(same), strict=True))
    order = sorted(range(60), key=lambda k: hashlib.sha256(PNGS[k]).digest())
    assert labels.tolist() == ["abc".index("cab"[k // 20]) for k in order]
    assert same.labels is None and data.content_hash != same.content_hash


def test_a_new_class_renames_those_behind_it_and_no_image_is_read_again(tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    where = images.folder(tmp_path / "pets", {f"{'bd'[k % 2]}/{k}.png": PNGS[k] for k in range(54)})
    before = at("classes", where)
    images.folder(tmp_path / "pets", {f"c/{k}.png": PNGS[k] for k in range(54, 60)})
    read: list[object] = []
    look = disk_index._look
    monkeypatch.setattr(disk_index, "_look", lambda data: read.append(data) or look(data))
    after = at("classes", where)
    found = [np.concatenate([d.labels_search, d.labels, d.labels_confirm]) for d in (before, after)]
    assert np.bincount(found[0]).tolist() == [27, 27] and np.bincount(found[1]).tolist() == [27, 6, 27]
    assert len(read) == 6


@pytest.mark.parametrize(("files", "said"), [
    ({"a/1.png": 0, "b/1.png": 1, "2.png": 2}, "found 1 images beside the folders, expected each in the folder"),
    ({"a/1.png": 0, "a/2.png": 1}, "found 1 folders with images, expected 2 to 1,000")])
def test_what_are_no_classes_is_said(files: dict[str, int], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"data.classes: {said}.*take folder: for images without classes"):
        at("classes", images.folder(tmp_path / "pets", {name: PNGS[k] for name, k in files.items()}))


def test_a_place_where_nothing_can_be_kept_is_a_sentence(tmp_path: Path) -> None:
    """As in a folder where this user may not write: below a file nobody may."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="found no room or no right to write in"):
        at("folder", images.folder(tmp_path / "faces", FILES), tmp_path / "file")


def test_the_noise_is_uniform_and_fixed(tmp_path: Path) -> None:
    data = at("folder", images.folder(tmp_path / "faces", FILES))
    u, _ = np.modf((data.train[:].astype(np.float64) + 1) * 128)
    assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / u.size) and abs(u.std() - np.sqrt(1 / 12)) < 0.01
    assert abs(np.corrcoef(u.reshape(51, -1)[:25].ravel(), u.reshape(51, -1)[25:50].ravel())[0, 1]) < 0.08
    assert np.array_equal(data.train[np.array([3, 50, 3])], data.train[:][[3, 50, 3]])
    assert np.array_equal(data.train[-2:], data.train[:][-2:])
    with pytest.raises(IndexError, match="51"):
        data.train[np.array([51])]


def test_what_is_in_a_folder_is_counted_and_named(tmp_path: Path) -> None:
    files = FILES | {
        "grey.png": images.encoded(images.noise(200, 8, 8)), "alpha.png": images.encoded(images.noise(201, 8, 8, 4)),
        "small.png": images.encoded(images.noise(202, 5, 6, 3)), "again.PNG": PNGS[7], "LIST.TXT": b"1",
        "empty.jpg": b"", "c/half.png": PNGS[0][:80], ".hidden.png": b"x", ".git/a.png": b"x", "._a.png": b"x",
        "page.jpeg": b"<html>"}
    path = images.folder(tmp_path / "faces", files)
    (path / "gone.png").symlink_to(path / "nowhere.png")
    (path / "loop").symlink_to(path)
    (path / "c" / "linked.png").symlink_to(path / "a" / "0.png")
    data = at("folder", path, refuse_broken=0.1)
    assert data.notes == (
        "63 images, 1 grey made colour, 1 transparent laid on white, 1 below 8 pixels made larger, 2 left out as equal "
        "to another, 1 other files passed over, 4 broken: c/half.png (Truncated File Read), empty.jpg (empty), "
        "gone.png (there is none), and 1 more")
    assert sum(map(len, everything(data))) == 63
    with pytest.raises(DataError, match=r"refuse_broken: found 4 of 69 images broken \(5.80%\), expected at most 0.05"):
        at("folder", path, refuse_broken=0.05)
    at("folder", path, refuse_broken=4 / 69)


def test_equal_images_are_in_one_split_and_names_decide_nothing(tmp_path: Path) -> None:
    one = at("folder", images.folder(tmp_path / "one", FILES))
    other = at("folder", images.folder(tmp_path / "other", {f"x/{k}": v for k, v in (
        *((f"{99 - k}.png", v) for k, v in enumerate(PNGS)), *((f"again{k}.png", v) for k, v in enumerate(PNGS)))}))
    assert one.content_hash == other.content_hash
    assert all(np.array_equal(a, b) for a, b in zip(everything(one), everything(other), strict=True))


def test_more_files_move_few_images_and_none_from_search_to_confirm(tmp_path: Path) -> None:
    path = images.folder(tmp_path / "faces", FILES)
    before = [{image.tobytes() for image in part} for part in everything(at("folder", path))]
    images.folder(path, {f"new{k}.png": images.encoded(images.noise(1000 + k, 8, 8, 3)) for k in range(12)})
    after = [{image.tobytes() for image in part} for part in everything(at("folder", path))]
    assert not before[0] & after[2] and not before[2] & after[0]
    assert not before[1] & (after[0] | after[2])  # what was trained on is never judged by
    assert len(before[0] & after[0]) >= 3 and [len(part) for part in after] == [5, 63, 4]


def test_the_hash_follows_contents_size_range_and_splits_alone(tmp_path: Path) -> None:
    path = images.folder(tmp_path / "faces", FILES)
    first = at("folder", path).content_hash
    os.utime(path / "a" / "0.png")
    (path / "b" / "1.png").rename(path / "moved.png")
    assert at("folder", path).content_hash == first == at("folder", path, tmp_path / "other").content_hash
    changed = [{"size": 9}, {"channels": 1}, {"range": [0, 1]}, {"splits": {"search": 4, "confirm": 4}}]
    assert len({first, *(at("folder", path, **more).content_hash for more in changed)}) == 5
    (path / "moved.png").write_bytes(images.encoded(images.noise(500, 8, 8, 3)))
    assert at("folder", path).content_hash != first


def test_only_new_and_changed_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = images.folder(tmp_path / "faces", FILES), []
    at("folder", path)
    true = disk_index.read_file
    monkeypatch.setattr(disk_index, "read_file", lambda root, name: read.append(name) or true(root, name))
    monkeypatch.setattr(disk_rows.Rows, "_make", None)  # all pixels are kept, too
    at("folder", path)
    assert read == []
    (path / "a" / "0.png").write_bytes(images.encoded(images.noise(500, 8, 8, 3)))
    (path / "z.png").write_bytes(images.encoded(images.noise(501, 8, 8, 3)))
    (path / "a" / "2.png").unlink()
    monkeypatch.undo()
    monkeypatch.setattr(disk_index, "inspect", lambda data, true=disk_index.inspect: read.append(data) or true(data))
    data = at("folder", path)
    assert len(read) == 2 and sum(map(len, everything(data))) == 60


def test_an_image_that_changes_under_a_study_ends_in_one_sentence(tmp_path: Path, lazily: None) -> None:
    path = images.folder(tmp_path / "faces", FILES)
    data = at("folder", path)
    for name in FILES:
        (path / name).write_bytes(PNGS[0])
    with pytest.raises(DataError, match=r"found .*png changed since it was indexed"):
        data.train[:]


def test_damaged_and_lost_caches_are_made_again(tmp_path: Path) -> None:
    path = images.folder(tmp_path / "faces", FILES)
    true, cache = np.concatenate(everything(at("folder", path))), tmp_path / "cache" / "images"
    for damage in ("flip", "zero", "cut", "index"):
        for file in cache.glob("index-*.arrow" if damage == "index" else "pixels-*"):
            content = bytearray(file.read_bytes())
            if damage == "flip":
                content[100::997] = bytes(255 - b for b in content[100::997])
            content = {"zero": bytes(len(content)), "cut": content[:len(content) // 2 + 3], "index": content[:700]}.get(
                damage, content)
            file.write_bytes(content)
        disk._LATEST.clear()
        assert np.array_equal(np.concatenate(everything(at("folder", path))), true)



def test_reading_ahead_changes_nothing_and_a_resumed_run_goes_on_exactly(tmp_path: Path) -> None:
    """Trained from a folder, straight; interrupted and resumed with a fresh cache; and from arrays in memory."""
    path = images.folder(tmp_path / "faces", FILES)
    data = at("folder", path)
    arrays = expected(PNGS).astype(np.float32)
    memory = tiny.dataclasses.replace(data, train=arrays[5:56], search=arrays[:5], confirm=arrays[56:])
    method = tiny.method("jko", data, updates=14)
    straight = save_state(tiny.train(method, memory, [0, 1], 14))
    assert save_state(tiny.train(method, data, [0, 1], 14)) == straight
    half = save_state(tiny.train(method, data, [0, 1], 6))  # 14 updates are more than two epochs
    disk._LATEST.clear()
    again = at("folder", path, tmp_path / "elsewhere")
    assert again is not data
    state = load_state(half, method, again, [0, 1])
    assert save_state(tiny.train(method, again, [0, 1], 8, state)) == straight
    assert init_state(method, data, [0]).update == 0


def test_batches_are_decoded_before_their_turn(tmp_path: Path, lazily: None) -> None:
    data = at("folder", images.folder(tmp_path / "faces", FILES))
    rows = data.train._rows  # type: ignore[union-attr]
    batch(data.train, [0], 0, 4)
    for future in list(rows._waiting.values()):
        future.result()
    known = int(rows._known.sum()) - 9  # search and confirm
    assert 4 < known <= 4 * 5  # this update's images and those of the next four
    rows._make = None  # type: ignore[assignment]
    for update in range(1, 5):
        read = [rows.read(np.array([5 + i])) for i in disk_rows.np.unique(_indices(update))]
        assert all(len(one) == 1 for one in read)


def test_the_last_to_let_go_of_images_may_be_a_thread_that_decodes_them(tmp_path: Path) -> None:
    """Where training ended by an exception, say; a thread cannot wait for its own end."""
    rows = at("folder", images.folder(tmp_path / "faces", FILES)).train._rows  # type: ignore[union-attr]
    assert rows._pool is not None
    threads, gate = list(rows._pool._threads), threading.Event()
    rows._pool.submit(lambda rows=rows: gate.wait())
    disk._LATEST.clear()
    gone = weakref.ref(rows)
    del rows
    gc.collect()
    assert gone() is not None
    gate.set()
    for thread in threads:
        thread.join(10)
    assert gone() is None and not any(thread.is_alive() for thread in threads)


def _indices(update: int) -> np.ndarray:
    from models.training.batches import indices

    return indices(0, update, 4, 51)


MEMORY = """
import re, sys, time
import numpy as np, PIL.Image, torch
from models.testing import tiny
from models.training.batches import batch
from models.data.load import load
import models.data.disk.load
def peak():  # of this program; ru_maxrss begins with that of its parent
    return int(re.search("VmHWM: *[^0-9]*([0-9]+)", open("/proc/self/status").read())[1])
warm = np.ones((8, 8)) @ np.ones((8, 8))
spec = {"folder": sys.argv[1], "size": 32, "channels": 3, "splits": {"search": 50, "confirm": 50}}
before, begun = peak(), time.process_time()
data = load(spec, cache_dir=sys.argv[2])
loaded = time.process_time()
batch(data.train, [0, 1, 2], 0, 64)
first = time.process_time() - loaded
assert len(data.train) == int(sys.argv[3]) - 100
for update in range(1, 40):
    batch(data.train, [0, 1, 2], update, 64)
print((peak() - before) / 1024, loaded - begun, first)
"""


@pytest.mark.slow
def test_a_hundred_thousand_files_take_little_memory_and_are_soon_there(tmp_path: Path) -> None:
    """As single precision they would take 1.2 GB, as bytes 300 MB; a batch takes 2.4. Seconds are of CPU, in bounds
    several times those measured: 11 at the first launch, 1.3 at the second, .07 for the first batch."""
    path, n = tmp_path / "many", 100_000
    grain = np.random.default_rng(0).integers(0, 256, (n, 5), dtype=np.uint8)
    for k in range(n):
        if k % 500 == 0:
            (path / str(k)).mkdir(parents=True)
        with open(f"{path}/{k - k % 500}/{k}.ppm", "wb", 0) as file:
            file.write(b"P6 16 16 255\n" + (grain[k].tobytes() * 154)[:768])
    for longest in (60, 15):
        done = subprocess.run([sys.executable, "-c", MEMORY, str(path), str(tmp_path / "cache"), str(n)], text=True,
                              capture_output=True, cwd=Path(__file__).parents[2])
        assert done.returncode == 0, done.stderr
        mebibytes, loading, first = map(float, done.stdout.split())
        assert 1 < mebibytes < 160 and loading < longest and first < 5, done.stdout


def test_a_system_that_cannot_say_which_cpus_are_free_still_reads_images(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Linux has `sched_getaffinity`; looked up on import, it would end every study there."""
    path = images.folder(tmp_path / "faces", FILES)
    with monkeypatch.context() as elsewhere:
        elsewhere.delattr(os, "sched_getaffinity")
        elsewhere.setattr(os, "cpu_count", lambda: None)
        assert disk_index.threads() == 1
        importlib.reload(disk_index)
        found = at("folder", path)
        found.train.prefetch(np.arange(5))
        assert np.array_equal(np.concatenate(everything(found)), expected(PNGS).astype(np.float32))
    importlib.reload(disk_index)


def test_what_is_wrong_with_data_is_said_from_a_worker_too() -> None:
    """An exception travels pickled."""
    problem = DataError(("folder",), "found nothing")
    again = pickle.loads(pickle.dumps(problem))
    assert (again.key, str(again)) == (problem.key, str(problem)) == (("folder",), "data.folder: found nothing")
