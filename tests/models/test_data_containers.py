"""Images in containers, Parquet and CIFAR-10: the same data as in a folder, and nothing in them is run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from models.data.data import SPLITS
from models.data.disk.cifar import _pickled
from models.data.disk.options import DataError
from models.data.load import load
from tests.models import images
from tests.models.images import at

PNGS = images.tiles(60)
FILES = {f"{'ab'[k % 2]}/{k}.png": data for k, data in enumerate(PNGS)}
pytestmark = pytest.mark.usefixtures("forgetful")


def test_parquet_of_the_same_images_is_the_same_data(tmp_path: Path) -> None:
    whole = at("folder", images.folder(tmp_path / "faces", FILES))
    (tmp_path / "sets").mkdir()
    for k, kind in enumerate(({}, {"binary": True, "compression": "zstd"}, {"row_group_size": 7})):
        images.parquet(tmp_path / "sets" / f"train-{k}.parquet", list(PNGS[3 * k:60 if k == 2 else 3 * k + 3]), **kind)
    for path in (tmp_path / "sets", tmp_path / "sets" / "*.parquet"):
        data = at("parquet", path)
        assert data.content_hash == whole.content_hash
        assert all(np.array_equal(getattr(data, split)[:], getattr(whole, split)[:]) for split in SPLITS)
    part = at("parquet", tmp_path / "sets" / "train-2.parquet")
    assert len(part.train) == 45 and part.content_hash != whole.content_hash


def test_cells_of_parquet_without_an_image_are_broken(tmp_path: Path) -> None:
    file = images.parquet(tmp_path / "a.parquet", [*PNGS, None, b"", b"text"])
    data = at("parquet", file, refuse_broken=0.1)
    assert data.notes == ("60 images, 3 broken: a.parquet[60] (there is none), a.parquet[61] (empty), "
                          "a.parquet[62] (not an image that pillow can read)")


@pytest.mark.parametrize("kind", [pyarrow.binary(), pyarrow.large_binary(), pyarrow.binary_view(),
                                  pyarrow.dictionary(pyarrow.int32(), pyarrow.binary()), pyarrow.binary(205)], ids=str)
@pytest.mark.parametrize("in_struct", [False, True])
def test_every_kind_of_binary_that_arrow_has_holds_images(tmp_path: Path, kind: Any, in_struct: bool) -> None:
    """As Polars and others leave them in a file's Arrow schema; 205 bytes are 8 x 8 colours and a header."""
    pictures = [b"P6 8 8 255\n  "[:13] + images.noise(k, 192).tobytes() for k in range(60)]
    cells = pyarrow.array(pictures, pyarrow.binary())
    cells = cells.dictionary_encode() if pyarrow.types.is_dictionary(kind) else cells.cast(kind)
    if in_struct:
        cells = pyarrow.StructArray.from_arrays([cells, pyarrow.array(["a"] * 60, pyarrow.string_view())],
                                                ["bytes", "path"])
    pyarrow.parquet.write_table(pyarrow.table({"image": cells}), tmp_path / "a.parquet")
    assert pyarrow.parquet.read_schema(tmp_path / "a.parquet").field("image").type == cells.type
    whole = at("folder", images.folder(tmp_path / "faces", {f"{k}.ppm": data for k, data in enumerate(pictures)}))
    assert at("parquet", tmp_path / "a.parquet").content_hash == whole.content_hash


@pytest.mark.parametrize("required", [False, True])
def test_a_null_struct_of_parquet_is_no_image_whatever_lies_under_it(tmp_path: Path, required: bool) -> None:
    """A required child comes back as empty bytes under a null struct."""
    child = pyarrow.field("bytes", pyarrow.binary(), nullable=not required)
    cells = pyarrow.StructArray.from_arrays([pyarrow.array(PNGS)], fields=[child],
                                            mask=pyarrow.array([k in (3, 30) for k in range(60)]))
    pyarrow.parquet.write_table(pyarrow.table({"image": cells}), tmp_path / "a.parquet")
    data = at("parquet", tmp_path / "a.parquet", refuse_broken=0.1)
    assert data.notes == "58 images, 2 broken: a.parquet[3] (there is none), a.parquet[30] (there is none)"


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar_10_of_both_versions(tmp_path: Path, binary: bool, packed: bool) -> None:
    batches = images.cifar_batches()
    files = images.cifar_files(batches, binary)
    path = images.archive(tmp_path / "cifar.tar.gz", files) if packed else next(
        images.folder(tmp_path / "files", files).iterdir())
    given = {"cifar10": str(path), "splits": {"search": 8, "confirm": 7}}
    data = load(given, cache_dir=tmp_path / "cache")
    assert data.shape == (3, 32, 32) and data.notes == "120 images, 5 of the test batch not used"

    def seen(array: np.ndarray, labels: np.ndarray | None) -> set[tuple[int, bytes]]:
        assert labels is not None
        grey = np.floor((array.astype(np.float64) + 1) * 128).astype(np.uint8)
        return {(int(label), image.tobytes()) for label, image in zip(labels, grey, strict=True)}

    def there(names: list[str]) -> set[tuple[int, bytes]]:
        return {(int(label), image.tobytes()) for name in names for label, image in zip(*batches[name], strict=True)}

    held = seen(data.search, data.labels_search), seen(data.confirm, data.labels_confirm)
    assert seen(data.train[:], data.labels) == there([f"data_batch_{k}" for k in range(1, 6)])
    assert held[0] | held[1] < there(["test_batch"]) and not held[0] & held[1] and list(map(len, held)) == [8, 7]


def test_an_image_in_both_batches_of_cifar_10_is_trained_on_in_whatever_order_they_lie(tmp_path: Path) -> None:
    """The true archive has its test batch between data batches. Of equal training images the smaller label counts."""
    batches, found = images.cifar_batches(), []
    for k, source in ((7, "test_batch"), (8, "test_batch"), (9, "data_batch_5")):
        batches["data_batch_3"][1][k] = batches[source][1][k]
    batches["data_batch_3"][0][9], batches["data_batch_5"][0][9] = 6, 2
    names = [f"data_batch_{k}" for k in range(1, 6)]
    for number, order in enumerate(([*names, "test_batch"], ["test_batch", *names], [*names[::-1], "test_batch"],
                                    ["data_batch_4", "test_batch", *names[:3], "data_batch_5"])):
        files = images.cifar_files({name: batches[name] for name in order}, False)
        path = images.archive(tmp_path / f"{number}.tar.gz", files)
        found.append(load({"cifar10": str(path), "splits": {"search": 8, "confirm": 7}}, cache_dir=tmp_path / "cache"))
    first = found[0]
    assert len(first.train) == 99 and first.notes == ("117 images, 3 left out as equal to another, 3 of the test batch "
                                                      "not used")
    assert first.labels is not None and first.labels.tolist() == found[1].labels.tolist()
    trained = {image.tobytes() for image in np.floor((first.train[:].astype(np.float64) + 1) * 128).astype(np.uint8)}
    assert {batches["test_batch"][1][k].tobytes() for k in (7, 8)} < trained
    assert {data.content_hash for data in found} == {first.content_hash}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("core", ["core", "_core"])
@pytest.mark.parametrize("labels", [lambda rows: rows, lambda rows: rows.tolist(), list])
def test_batches_of_every_protocol_of_pickle(
        protocol: int, core: str, labels: Callable[[np.ndarray], Any]) -> None:
    """As Python 3.14 writes them, by default with protocol 5; numpy's parts were at numpy.core before version 2."""
    true, colours = images.cifar_batches()["test_batch"]
    data = pickle.dumps({"data": colours, "labels": labels(true)}, protocol)
    if core == "core":  # a name in a pickle of protocol 4 has its length before it
        data = data.replace(b"numpy._core", b"numpy.core").replace(b"\x8c\x16numpy.core", b"\x8c\x15numpy.core")
        data = data.replace(b"\x8c\x13numpy.core.", b"\x8c\x12numpy.core.")
    if protocol >= 4:
        data = data[:2] + data[11:]  # nor is the length of the whole what it was: it may be left out
    found = _pickled("test_batch", data)
    assert np.array_equal(found[0], true) and np.array_equal(found[1], colours)


@pytest.mark.parametrize("trap", [
    b"\x80\x05cnumpy._core.numeric\n_frombuffer\n(C\x01aVO\nK\x01\x85VC\ntR.",  # a dtype that is text
    b"\x80\x05cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(VO8\ntRC\x01atR.",  # a single object
    b"\x80\x05cnumpy._core.numeric\nfull\n(K\x01K\x01tR.", b"\x80\x05cbuiltins\neval\n(V1\ntR."])
def test_parts_of_numpy_that_no_image_needs_are_refused(trap: bytes) -> None:
    with pytest.raises(DataError, match=r"UnpicklingError: (it calls|found a|found an)"):
        _pickled("test_batch", trap)


def test_a_pickle_that_would_run_something_runs_nothing(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(ran),)

    files = images.cifar_files(images.cifar_batches(), False)
    files["cifar-10-batches-py/data_batch_3"] = images.python2({b"labels": [0], b"data": Trap()})
    with pytest.raises(DataError, match=r"data_batch_3.* it calls posix.mkdir, which no image needs"):
        at("cifar10", images.archive(tmp_path / "c.tar.gz", files), size=32)
    assert not ran.exists()


@pytest.mark.parametrize(("name", "content", "words"), [
    ("data_batch_2", None, "found no data_batch_2 in"),
    ("test_batch", b"\x80\x02}q", "test_batch, which cannot be read"),
    ("test_batch", images.python2({b"labels": [1], b"data": np.zeros((1, 3071), np.uint8)}), r"shape \(1, 3071\)"),
    ("test_batch", images.python2({b"labels": [11], b"data": np.zeros((1, 3072), np.uint8)}), "labels from 11 to 11"),
    ("data_batch_1.bin", bytes(3073), "data_batch_1.bin, of which there are two|data_batch_1, of which")])
def test_an_archive_that_is_not_cifar_10s(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    files = images.cifar_files(images.cifar_batches(), False)
    files.pop(f"cifar-10-batches-py/{name}", None)
    if content is not None:
        files[f"cifar-10-batches-py/{name}"] = content
    with pytest.raises(DataError, match=words):
        at("cifar10", images.archive(tmp_path / "c.tar.gz", files), size=32)
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_an_archive_that_ends_early(tmp_path: Path) -> None:
    path = images.archive(tmp_path / "c.tar.gz", images.cifar_files(images.cifar_batches(), False))
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"expected a whole \.tar\.gz"):
        at("cifar10", path, size=32)
