"""`python -m study.new`: what it sees in a folder, what it writes, and what it refuses. The tutorial's test runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.registry import METHODS
from study import launch as command
from study import new
from study.show.plan import NO_LABELS
from study.spec import StudySpec, load
from tests.models import images


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def folder(n: int, size: int = 9, channels: int = 3) -> None:
    images.folder(Path("cats"), {f"{k % 2}/{k}.png": tile for k, tile in enumerate(images.tiles(n, size, channels))})


def written(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[StudySpec, list[str]]:
    """The study, and what was said."""
    code, (out, err) = new.main([*(words or ("--images", "cats"))]), capsys.readouterr()
    assert (code, err) == (0, "")
    [file] = [line.partition(" is written; ")[0] for line in out.splitlines() if " is written; " in line]
    return load(file), out.splitlines()


def test_what_is_written_fits_the_images_and_can_be_planned(capsys: pytest.CaptureFixture[str]) -> None:
    folder(200)
    spec, lines = written(capsys)
    assert (spec.study, [*spec.arms], spec.data["size"], spec.data["channels"], spec.data["splits"]) == (
        "cats", ["kl", "jko"], 9, 3, {"search": 50, "confirm": 50})
    assert (spec.evaluation.samples, spec.data["refuse_broken"], spec.data["folder"]) == (
        50, 0.01, str(Path("cats").absolute()))
    assert lines[:4] == ["cats: 200 different images, shorter side 9 pixels, colour, in 2 folders, which are not read "
                         "as classes (--classes does)", "200 images", "chosen: 3x9x9; 100 to train on, 50 and 50 held "
                         "out; kl and jko", NO_LABELS]
    assert lines[4].startswith("cats.yaml is written; next: ") and lines[4].endswith(
        " -m study.launch --space cats.yaml") and len(lines) == 5
    text = Path("cats.yaml").read_text()
    assert '  folder: "cats"\n' in text and max(map(len, text.splitlines())) <= 120
    assert command.main(["--space", "cats.yaml", "--dry-run"]) == 0
    planned = capsys.readouterr().out.splitlines()
    assert {NO_LABELS, "data: folder cats 3x9x9, 100 / 50 / 50 train / search / confirm; features: ssl64"
            } < set(planned) and not any("replicates would do" in line for line in planned)


def test_channels_size_and_broken_files_are_those_of_the_images(capsys: pytest.CaptureFixture[str]) -> None:
    """Grey pictures are mostly saved as RGB; of small images none is made larger, of large ones all smaller."""
    folder(120, 40, channels=1)
    for file in Path("cats").rglob("*.png"):
        Image.open(file).convert("RGB").save(file)
    for k in range(3):
        Path(f"cats/{k}.png").touch()
    spec, lines = written(capsys)
    assert (spec.data["channels"], spec.data["size"], spec.data["refuse_broken"]) == (1, 16, 0.05)
    assert "shorter side 40 pixels, grey, in 3 folders" in lines[0] and "3 broken: 0.png (empty)" in lines[1]
    spec, _ = written(capsys, "--images", "cats", "--force", "--size", "32", "--study", "others", "--out", "cats.yaml")
    assert (spec.study, spec.data["size"]) == ("others", 32)


@pytest.mark.parametrize("method", [*METHODS, "all"])
def test_any_methods_make_a_study(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder(60)
    methods = [*METHODS] if method == "all" else [method]
    spec, _ = written(capsys, "--images", "cats", "--method", *methods, *methods)
    assert [*spec.arms] == methods and spec.data["splits"] == {"search": 8, "confirm": 8}


def test_of_parquet_the_column_is_named_and_the_path_is_whole_where_it_lies_elsewhere(
        capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    images.parquet(Path("data/a set.parquet"), [*images.tiles(60)])
    Path("studies").mkdir()
    spec, lines = written(capsys, "--parquet", "data/a set.parquet", "--out", "studies/own.yaml")
    assert spec.study == "a-set" and spec.data["column"] == "image"
    assert json.dumps(str(Path("data/a set.parquet").absolute())) in Path("studies/own.yaml").read_text()
    assert "folders" not in lines[0]


@pytest.mark.parametrize(("make", "words", "sentence"), [
    (lambda: None, [], "--images: found nothing at HERE/cats, expected a folder of images, at any depth"),
    (lambda: Path("cats").mkdir(), [], "--images: found no image in HERE/cats, expected images"),
    (lambda: folder(40), [], "--images: found 40 different images, expected at least 56 (6 for search, 6 for confirm, "
                             "44 to train on)"),
    (lambda: (folder(60), Path("cats.yaml").touch()), [], "--out cats.yaml: is there already; --force writes over it"),
    (lambda: folder(60), ["--out", ".", "--force"], "--out .: is a folder, expected a file, such as cats.yaml"),
    (lambda: folder(60), ["--out", "no/where.yaml"], "--out no/where.yaml: cannot be written: No such file"),
    (lambda: folder(60), ["--images", "../HOME"], "--images ../HOME: is or holds this folder"),
    (lambda: folder(60), ["--size", "65"], "--size: found 65, expected a whole number from 8 to 64"),
    (lambda: folder(60), ["--study", "a cat"], "--study: found 'a cat', expected a name of letters"),
    (lambda: images.folder(Path("cats"), {f"{k}.png": images.encoded(np.zeros((9 + k, 9), "uint8"))
                                          for k in range(60)}), [],
     "--images: found 50 different files of 60 that all look the same, expected images that differ"),
    (lambda: (folder(60), [images.folder(Path("cats"), {f"{k}.png": b""}) for k in range(9)]), [],
     "--images: found 9 of 69 images broken (13.04%), expected at most 0.1 of them: 0.png (empty)"),
])
def test_a_refusal_is_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                  make: Callable[[], Any], words: list[str], sentence: str) -> None:
    make()
    before = {file: file.read_bytes() for file in Path().glob("*.yaml")}
    words = [word.replace("HOME", tmp_path.name) for word in words]
    code, (out, err) = new.main(["--images", "cats", *words]), capsys.readouterr()
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.replace(str(tmp_path), "HERE").replace(tmp_path.name, "HOME").startswith(sentence), err
    assert {file: file.read_bytes() for file in Path().glob("*.yaml")} == before


def test_folders_are_classes_where_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    folder(200)
    spec, lines = written(capsys, "--images", "cats", "--classes")
    assert lines[0].endswith("in 2 folders, by class") and NO_LABELS not in lines
    assert spec.data["classes"] == str(Path("cats").absolute()) and spec.primary == "kid_clf64_50"
    assert command.main(["--space", "cats.yaml", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "data: classes cats 3x9x9" in said and "features: clf64, accuracy" in said and NO_LABELS not in said
    assert new.main(["--parquet", "x.parquet", "--classes"]) == 2
    assert "--classes: found with --parquet" in capsys.readouterr().err
