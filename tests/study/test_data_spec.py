"""What a spec says about images on disk: one sentence a mistake, and a study on a folder through the command line."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data.disk import load as disk
from study.launch import main
from study.plan.identity import config_hash, study_version
from study.plan.space import design_configurations
from study.spec import load, loads
from study.spec.problems import SpecError
from tests.models import images

HEAD = "study: s\nmethod: [kl]\ndesign: {step_size: [0.1]}\nevaluation: {samples: 8}\n"  # so data stands on line 5


def problems(data: str, *overrides: str, more: str = "") -> list[str]:
    with pytest.raises(SpecError) as caught:
        loads(HEAD + f"data: {data}\n" + more, "s.yaml", overrides)
    return list(caught.value.problems)


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    found = loads(HEAD + f"data: {{folder: {tmp_path}, size: 32, channels: 3}}\n")
    assert found.data == {"folder": str(tmp_path), "size": 32, "channels": 3, "range": [-1.0, 1.0],
                          "splits": {"search": 500, "confirm": 500}, "refuse_broken": 0.01}
    assert found.primary == "kid_ssl64_8"
    (tmp_path / "a.parquet").touch()
    found = loads(HEAD + f"data: {{parquet: {tmp_path}, size: 32, channels: 1, splits: {{search: 9}}}}\n")
    assert (found.data["column"], found.data["splits"]) == ("image", {"search": 9, "confirm": 500})
    found = loads(HEAD + f"data: {{cifar10: {tmp_path}}}\n")
    assert (found.data["size"], found.data["channels"], found.primary) == (32, 3, "kid_clf64_8")
    again = loads(HEAD + f"data: {json.dumps(found.resolved()['data'])}\n")
    assert again.resolved() == found.resolved()


@pytest.mark.parametrize(("data", "sentences"), [
    ("{folder: HERE}", ["data.size: missing; expected a whole number from 8 to 64, pixels a side",
                        "data.channels: missing; expected 1 (grey) or 3"]),
    ("{folder: HERE, size: 65, channels: 2}", [
        "data.size: found 65, expected a whole number from 8 to 64, pixels a side",
        "data.channels: found 2, expected 1 (grey) or 3"]),
    ("{folder: HERE, size: 32.0, channels: true}", [
        "data.size: found 32.0, expected a whole number from 8 to 64, pixels a side; write 32",
        "data.channels: found True, expected 1 (grey) or 3"]),
    ("{folder: no/where, size: 8, channels: 1}", [
        "data.folder: found nothing at CWD/no/where, expected a folder of images, at any depth"]),
    ("{folder: HERE/file, size: 8, channels: 1}", [
        "data.folder: found a file at HERE/file, expected a folder of images, at any depth"]),
    ("{folder: 7, size: 8, channels: 1}", [
        'data.folder: found 7, expected the path of a folder of images, at any depth; '
        'write it in quotes: folder: "7"']),
    ("{folder: HERE, size: 8, channels: 1, splits: '500'}", [
        "data.splits: found '500', expected a mapping such as {search: 500, confirm: 500}"]),
    ("{name: rings, size: '8'}", ["data.size: found '8', expected no size: these data are points in the plane"]),
    ("{parquet: HERE, size: 8, channels: 1}", [
        "data.parquet: found no file *.parquet at HERE, expected Parquet files with an image column: a file, a folder "
        "of them, or a pattern such as /data/*.parquet"]),
    ("{parquet: HERE/file, size: 8, channels: 1, column: 3}", [
        "data.column: found 3, expected a column's name; write it in quotes: column: \"3\""]),
    ("{cifar10: HERE/c.tar.gz, column: image}", [
        "data.cifar10: found nothing at HERE/c.tar.gz, expected CIFAR-10's own archive, of either version, or the "
        "folder that it unpacks to",
        "data.column: unknown key; expected one of cifar10, size, channels, range, splits, refuse_broken"]),
    ("{folder: HERE, cifar10: HERE, size: 8, channels: 1}", [
        "data.cifar10: found folder and cifar10, expected one of folder, classes, parquet, cifar10; keep one"]),
    ("{folder: HERE, size: 8, chanels: 1}", ["data.chanels: unknown key; did you mean channels?",
                                             "data.channels: missing; expected 1 (grey) or 3"]),
    ("{folder: HERE, size: 8, channels: 1, range: [1, -1], refuse_broken: 2, splits: 5}", [
        "data.range: found [1, -1], expected [low, high], such as [-1, 1]: black and white, 0.001 to 1e+06 apart",
        "data.refuse_broken: found 2, expected a share from 0 to 1",
        "data.splits: found 5, expected a mapping such as {search: 500, confirm: 500}"]),
    ("{folder: HERE, size: 8, channels: 1, splits: {search: 1, train: 5}}", [
        "data.splits.search: found 1, expected a whole number from 2 to 20,000",
        "data.splits.train: unknown key; expected search or confirm (train is all the rest)"]),
    ("{foldr: HERE, size: 8}", ["data.foldr: unknown key; did you mean folder?"]),
])
def test_every_mistake_is_one_sentence(tmp_path: Path, data: str, sentences: list[str]) -> None:
    (tmp_path / "file").touch()
    found = problems(data.replace("HERE", str(tmp_path)))
    found = [line.replace(str(tmp_path), "HERE").replace(str(Path.cwd()), "CWD") for line in found]
    assert sorted(found) == sorted(f"s.yaml:5: {sentence}" for sentence in sentences)


def test_samples_and_split_fit_what_is_held_out(tmp_path: Path) -> None:
    data = f"data: {{folder: {tmp_path}, size: 8, channels: 1, splits: {{search: 20, confirm: 10}}}}\n"
    head = HEAD.replace("evaluation: {samples: 8}", "evaluation: {samples: 15, split: SPLIT}")
    assert loads(head.replace("SPLIT", "search") + data).evaluation.samples == 15
    with pytest.raises(SpecError, match="found 15, expected at most 10: the confirm split of folder has no more"):
        loads(head.replace("SPLIT", "search") + data + "confirm: {top: 1}\n")
    with pytest.raises(SpecError, match="found 'train', expected one of search, confirm"):
        loads(head.replace("SPLIT", "train") + data)


def test_paths_are_relative_to_the_file_and_those_of_set_to_where_one_is(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("studies/data", "here/other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "studies" / "s.yaml").write_text(HEAD + "data: {folder: data, size: 8, channels: 1}\n")
    monkeypatch.chdir(tmp_path / "here")
    assert load("../studies/s.yaml").data["folder"] == str(tmp_path / "studies" / "data")
    assert load("../studies/s.yaml", ["data.folder=other"]).data["folder"] == str(tmp_path / "here" / "other")


def test_where_data_lie_is_no_part_of_what_they_are(tmp_path: Path) -> None:
    specs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        specs.append(loads(HEAD + f"data: {{folder: {tmp_path / name}, size: 8, channels: 1}}\n"))
    other = loads(HEAD + f"data: {{folder: {tmp_path / name}, size: 9, channels: 1}}\n")
    for of in (lambda s: study_version(s.resolved(), "x"), lambda s: config_hash(design_configurations(s)[0], "x")):
        assert of(specs[0]) == of(specs[1]) != of(other)
    assert study_version(specs[0].resolved(), "x") != study_version(specs[0].resolved(), "y")


# Through the command line.

LINE = "data: {folder: digits, size: 8, channels: 1, splits: {search: 60, confirm: 60}}\n"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study beside a folder of scikit-learn's digits, as PNGs."""
    from sklearn.datasets import load_digits

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(disk, "_LATEST", {})
    grey = np.rint(load_digits().images[:400] * 255 / 16).astype(np.uint8)
    images.folder(tmp_path / "digits", {f"{k % 10}/{k}.png": images.encoded(image) for k, image in enumerate(grey)})
    (tmp_path / "s.yaml").write_text(HEAD + LINE)
    return tmp_path


def dry_run(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["--space", "s.yaml", "--dry-run", *words])
    return code, out.getvalue(), err.getvalue()


def test_a_dry_run_shows_what_is_in_the_folder(study: Path) -> None:
    (study / "digits" / "3" / "3.png").write_bytes(b"")
    code, out, err = dry_run()
    assert (code, err) == (0, "") and "estimated cost" in out
    assert "data: folder digits 1x8x8, 279 / 60 / 60 train / search / confirm" in out
    assert "399 images, 1 broken: 3/3.png (empty)" in out


def test_status_is_told_where_the_images_are_not(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(study / "digits")
    assert main(["--space", "s.yaml", "--status"]) == 0
    assert capsys.readouterr().out.startswith("study 's' has not been started in ")
    assert dry_run()[0] == 2


@pytest.mark.parametrize(("break_it", "words", "sentence"), [
    (lambda d: [f.write_bytes(b"") for f in d.glob("3/?3.png")], [],
     "s.yaml:5: data.refuse_broken: found 9 of 400 images broken (2.25%), expected at most 0.01 of them: 3/13.png "
     "(empty), 3/23.png (empty), 3/33.png (empty), and 6 more"),
    (lambda d: [f.with_suffix(".jpg").write_bytes(images.without_table(images.encoded(images.noise(k, 8, 8), "JPEG")))
                for k, f in enumerate(sorted(d.glob("?/?.png")))], [],
     "s.yaml:5: data.refuse_broken: found "),
    (lambda d: [shutil.rmtree(f) for f in d.iterdir() if f.name != "1"], [],
     "s.yaml:5: data.splits: found 40 different images, expected at least 164 (60 for search, 60 for confirm, 44 to "
     "train on); these are too few; with 56 write splits: {search: 6, confirm: 6}\n"),
    (lambda d: [shutil.rmtree(f) for f in d.iterdir() if f.name > "3"], [],
     "s.yaml:5: data.splits: found 160 different images, expected at least 164 (60 for search, 60 for confirm, 44 to "
     "train on); for 160 images write splits: {search: 40, confirm: 40}\n"),
    (lambda d: [shutil.rmtree(f) for f in d.iterdir()] + [(d / "a.txt").touch()], [],
     "s.yaml:5: data.folder: found no image in HERE/digits, only files that are none by their names (1 .txt), "
     "expected images\n"),
    (lambda d: [shutil.rmtree(f) for f in d.iterdir()] + [images.parquet(d / "a.parquet", [])], [],
     "s.yaml:5: data.folder: found no image in HERE/digits, only files that are none by their names (1 .parquet), "
     "expected images; take parquet: HERE/digits\n"),
    (lambda d: images.parquet(d / "a.parquet", []),
     ["--set", "data={parquet: digits, size: 8, channels: 1, column: img}"],
     "--set data: data.column: found 'img', no such column in a.parquet, expected a column of encoded images (binary, "
     "or a struct with binary `bytes`): image"),
    (lambda d: (d / "a.parquet").write_bytes(b"PAR1"), ["--set", "data={parquet: digits, size: 8, channels: 1}"],
     "--set data: data.parquet: found HERE/digits/a.parquet, which cannot be read"),
])
def test_unusable_data_end_in_one_sentence_with_its_place(
        study: Path, break_it: Callable[[Path], Any], words: list[str], sentence: str) -> None:
    break_it(study / "digits")
    code, out, err = dry_run(*words)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1
    assert err.replace(str(study), "HERE").startswith(sentence), err


@pytest.mark.parametrize("count", [400, 162, 97])
def test_the_splits_that_a_refusal_names_do(study: Path, count: int) -> None:
    """From a few images less than are needed down to a quarter of them, and planned with, not only counted."""
    for file in sorted((study / "digits").glob("*/*.png"))[count:]:
        file.unlink()
    (study / "s.yaml").write_text(HEAD + LINE.replace("60", "179"))
    code, _, err = dry_run()
    named = err.partition("write splits: ")[2].strip()
    assert code == 2 and named
    code, out, err = dry_run("--set", f"data.splits={named}")
    assert (code, err) == (0, "") and "estimated cost" in out


def test_a_unit_trains_on_the_folder_and_refuses_other_images(study: Path) -> None:
    from models.data.disk.options import DataError
    from models.data.load import load as load_data
    from study.run.unit_run import UnitRun
    from study.schema.unit import Unit
    from study.store.units import Store

    spec = load("s.yaml", ["train.updates=3", "train.batch_size=8", "train.width=2", "design.mcmc_steps=2",
                           "train.particles=8", "evaluation.points=1", "evaluation.long_run=1"])
    content = load_data(spec.data, cache_dir="cache").content_hash
    configuration = design_configurations(spec)[0]
    unit = Unit(configuration, (0, 1), config_hash(configuration, content))
    report = UnitRun(unit, Store(str(study / "runs"), "s"), cache_dir="cache").advance()
    assert report["status"] == "finished" and np.isfinite(report["kid_ssl64_8"])
    (study / "digits" / "3" / "3.png").unlink()
    with pytest.raises(DataError, match=r"found other data on .*\(399 images\)"):
        UnitRun(unit, Store(str(study / "runs2"), "s"), cache_dir="cache").advance()


def test_digits_from_a_folder_are_as_the_built_in_ones(study: Path) -> None:
    """Other levels of grey and other splits, the same law: means and spreads of pixels agree."""
    from models.data.load import load as load_data

    found, true = load_data(load("s.yaml").data, cache_dir="cache"), load_data("digits")
    a, b = found.train[:].reshape(-1, 64), np.asarray(true.train).reshape(-1, 64)
    scale = 17 / 16 * 255 / 256  # v / 17 and v / 16 * 255 / 256 of the way from black to white
    assert np.abs(a.mean(0) - (scale * (b.mean(0) + 1 - 1 / 17) - 1 + 1 / 256)).max() < 0.25
    assert abs(a.std(0).mean() / (scale * b.std(0).mean()) - 1) < 0.05
