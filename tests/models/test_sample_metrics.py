"""Which measures an evaluation has, under which names, of which rows; and their floors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from models.data.data import Data
from models.data.load import load
from models.measures import features, quality
from models.measures.feature_training import Contrast
from models.measures.sample_metrics import SampleMetrics
from models.measures.table import MEASURES, Measure, MeasureError
from models.measures.table_page import page


class FourPixels:
    """In the place of a user's extractor: four numbers an image."""

    name, dim = "own", 4

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return images[:, 0, ::2, 3][:, :4].astype(np.float64)


@pytest.fixture(scope="module")
def digits() -> Data:
    """Without labels, so judged by what learned without."""
    return dataclasses.replace(load("digits"), labels=None, labels_search=None, labels_confirm=None)


def test_every_measure_is_named_by_space_and_number(digits: Data) -> None:
    metrics = SampleMetrics(digits, 160, own=FourPixels())  # type: ignore[arg-type]
    found = metrics.all(digits.confirm[:160])
    full = {"kid", "fd", "fdinf", "precision", "recall", "density", "coverage", "nearer_train", "copies"}
    assert set(found) == {f"{name}_{space}_160" for space in ("ssl64", "own") for name in full} | {
        "kid_rnd64_160", "variance_ratio_160", "nearer_train_pixels_160", "copies_pixels_160"}
    own, reference = FourPixels()(digits.confirm[:160]), FourPixels()(digits.search)
    assert found["fd_own_160"] == quality.fd(own, reference)
    assert found["recall_own_160"] == quality.manifold(own, reference).recall
    assert found["kid_ssl64_160"] == metrics(digits.confirm[:160])
    few = SampleMetrics(digits, 100).all(digits.confirm[:100])
    assert "fd_ssl64_100" not in few and "kid_ssl64_100" in few  # fewer than two rows a feature


def test_copies_of_the_train_split_are_told_from_held_out_data(digits: Data) -> None:
    metrics = SampleMetrics(digits, 100)
    honest, copied = metrics.all(digits.confirm[:100]), metrics.all(digits.train[:100])
    for space in ("pixels", "ssl64"):
        assert 0.38 < honest[f"nearer_train_{space}_100"] < 0.62  # 3.5 standard errors about 1/2
        assert honest[f"copies_{space}_100"] < 0.15
        assert copied[f"nearer_train_{space}_100"] == copied[f"copies_{space}_100"] == 1


def test_a_split_is_measured_with_its_own_distances() -> None:
    data = load("gaussians8")
    search, confirm = (SampleMetrics(data, 64, split).all(data.train[:64]) for split in ("search", "confirm"))
    assert search["w2_64"] == quality.w2(data.train[:64], data.search[:64])
    assert confirm["w2_64"] == quality.w2(data.train[:64], data.confirm[:64])
    assert search["mmd_64"] == quality.mmd(data.train[:64], data.search[:256])
    assert set(search) == {"energy_distance_64", "mmd_64", "w2_64", "variance_ratio_64", "modes_64", "near_mode_64"}


def test_floors_are_of_all_measures_at_the_numbers_of_rows_that_an_evaluation_has(
        digits: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = SampleMetrics(digits, 160)
    floors = metrics.floors(6, np.random.default_rng(0))
    assert set(floors) == set(metrics.all(digits.confirm[:160]))
    assert {(f.n, f.m) for f in floors.values()} == {(160, 397)}
    assert floors["coverage_ssl64_160"].mean == pytest.approx(quality.expected_coverage(160, 397), abs=0.03)
    assert floors["density_ssl64_160"].mean == pytest.approx(1, abs=0.1)
    assert floors["nearer_train_pixels_160"].mean == pytest.approx(0.5, abs=0.06)
    assert floors["nearer_train_pixels_160"].sd > 0.005  # two different parts, not one against itself
    assert floors["copies_pixels_160"].mean == pytest.approx(19 / 398, abs=0.03)  # no training image
    assert abs(floors["kid_ssl64_160"].mean) < 3 * floors["kid_ssl64_160"].sd
    assert floors["fdinf_ssl64_160"].mean < 0.3 * floors["fd_ssl64_160"].mean
    monkeypatch.setattr(features, "Contrast", partial(Contrast, least_updates=2, most_updates=2))
    small = SampleMetrics(load("faces"), 256).floors(2, np.random.default_rng(0))
    assert {(f.n, f.m) for f in small.values()} == {(20, 20)}  # 40 held-out faces are all there are


def test_the_table_has_a_row_of_everything_that_is_measured_and_knows_its_limits(digits: Data) -> None:
    rows = {m.family: m for m in MEASURES}
    assert len(rows) == len(MEASURES) and rows["w2"].most == quality.W2_MOST
    assert rows["recall"].least == quality.NEIGHBOURS + 1
    taken = {"w2": (1500, 1500, 2), "fd": (397, 128, 64), "fdinf": (160, 397, 64), "recall": (6, 20, 64)}
    for family, (n, m, d) in taken.items():
        assert rows[family].takes(n, m, d) and not rows[family].takes(n, min(n, m) - 1, d)
    assert not rows["w2"].takes(1501, 2000, 2)
    for family in ("precision", "recall", "density", "coverage"):  # copies are ever better
        assert rows[family].direction == "maximize"
    better = {True: digits.confirm[:160], False: 0.1 * np.random.default_rng(0).normal(size=(160, *digits.shape))}
    found = {good: SampleMetrics(digits, 160).all(x.astype(np.float32)) for good, x in better.items()}
    for name in found[True]:
        row = rows[name.split("_")[0]] if name.split("_")[0] in rows else None
        if row is not None and row.direction is not None:
            assert (found[True][name] > found[False][name]) == (row.direction == "maximize"), name


def test_what_the_verdict_reads_has_the_names_that_an_evaluation_gives() -> None:
    assert {m.verdict: m.name(64) for m in MEASURES if m.verdict} == {
        "variance_ratio": "variance_ratio_64", "modes": "modes_64", "saturation_excess": "saturation_excess_64"}


def test_the_page_of_all_measures_is_made_from_the_table() -> None:
    """python -m models.measures.table_page > docs/metrics/table.md"""
    assert (Path(__file__).parents[2] / "docs/metrics/table.md").read_text(encoding="utf-8") == page()
    assert all(m.label for m in MEASURES)


def _exits(x: np.ndarray, y: np.ndarray) -> float:
    raise SystemExit(3)


def _two_lines(x: np.ndarray, y: np.ndarray) -> float:
    raise ValueError("first\nsecond")


def _writes(x: np.ndarray, y: np.ndarray) -> float:
    x -= x.mean()
    y[:] = 0
    return float(np.ptp(y))


def own(function: Callable[[np.ndarray, np.ndarray], float]) -> Measure:
    return Measure(family="mine", function=function, spaces=("pixels",))


@pytest.mark.parametrize(("function", "said"), [(_exits, "SystemExit: 3"), (_two_lines, "ValueError: first")])
def test_a_measure_that_fails_or_exits_is_one_line(function: Callable[..., float], said: str) -> None:
    metrics = SampleMetrics(load("moons"), 8, measures=[own(function)])
    with pytest.raises(MeasureError, match=f"^measure mine: {said}$"):
        metrics.all(np.ones((8, 2)))


def test_a_measure_that_writes_into_what_it_is_given_changes_no_other() -> None:
    """Nor itself, of the next samples."""
    data = load("moons")
    samples = data.confirm[:8].astype(np.float64)
    alone = SampleMetrics(data, 8).all(samples.copy())
    metrics = SampleMetrics(data, 8, measures=[own(_writes)])
    for _ in range(2):
        assert metrics.all(samples) == alone | {"mine_8": 0.0}
    assert np.ptp(data.search) > 1


@pytest.mark.parametrize("ends", ["1.0", "x.nothing"])
def test_what_a_measure_sets_in_torch_ends_with_it(ends: str) -> None:
    """Else the units that its worker trains next would fail, or have other numbers."""
    def rude(x: np.ndarray, y: np.ndarray) -> float:
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(3)
        return float(eval(ends))

    metrics = SampleMetrics(load("moons"), 8, measures=[own(rude)])
    before = torch.get_num_threads()
    with nullcontext() if ends == "1.0" else pytest.raises(MeasureError):
        metrics.all(np.ones((8, 2)))
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == (True, torch.float32)
    assert torch.get_num_threads() == before
