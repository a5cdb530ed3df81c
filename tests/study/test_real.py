"""Studies of data that a user brings (`search_spaces/real`): with a small stand-in each is planned as it stands."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from models.measures import features
from models.measures.feature_training import Contrast
from study.launch import main
from study.spec import load
from study.spec.problems import SpecError
from tests.models.images import archive, cifar_batches, cifar_files, encoded, folder, noise, parquet

pytestmark = pytest.mark.slow
REAL = Path(__file__).resolve().parents[2] / "search_spaces/real"
FILES = sorted(REAL.glob("*.yaml"))
JPEGS = [encoded(noise(seed, 70, 64, 3), "JPEG") for seed in range(110)]
HELD = 30


def stand_in(kind: str, place: Path) -> Path:
    """Data of this kind, as small as a plan takes them."""
    if kind == "cifar10":
        return archive(place / "cifar.tar.gz", cifar_files(cifar_batches(2 * HELD), binary=False))
    if kind == "parquet":
        return parquet(place / "images.parquet", list(JPEGS))
    names = [f"{'ab'[k % 2]}/{k}.jpg" if kind == "classes" else f"{k}.jpg" for k in range(len(JPEGS))]
    return folder(place / "images", dict(zip(names, JPEGS, strict=True)))


def test_there_is_one_for_each_kind_of_data() -> None:
    kinds = {next(kind for kind in ("cifar10", "folder", "parquet", "classes") if f"  {kind}: ~/data" in text)
             for text in (file.read_text() for file in FILES)}
    assert len(FILES) == len(kinds) == 4


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_planned_with_ones_own_data(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    """Where the data are not there, that is all that is wrong with it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SpecError) as missing:
        load(file)
    [problem] = missing.value.problems
    kind = problem.split("data.")[1].split(":")[0]
    assert f"found nothing at {tmp_path}/data" in problem
    short = partial(Contrast, least_updates=2, most_updates=2)  # the whole takes a minute at 64 pixels
    monkeypatch.setattr(features, "Contrast", short)
    monkeypatch.chdir(tmp_path)
    here = {f"data.{kind}": stand_in(kind, tmp_path), "data.splits": f"{{search: {HELD}, confirm: {HELD}}}",
            "evaluation.samples": HELD}
    assert main(["--space", str(file), "--dry-run",
                 *(word for key, value in here.items() for word in ("--set", f"{key}={value}"))]) == 0
    out = capsys.readouterr().out
    cost = float(re.search(r"on GPUs: ([\d.]+)", out)[1])  # type: ignore[index]
    assert 1 < cost < 200 and re.search(r"memory: \d.* GiB at the peak of the largest unit \(arm", out)
    assert "nothing was measured on a GPU" in out and not list(tmp_path.glob("mlflow.db"))
