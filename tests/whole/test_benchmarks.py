"""The scripts of benchmarks/ that are not run here at least find what they import; the law's figure is drawn."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.read.load import read
from analysis.read.store import Store
from benchmarks import law_figure
from tests.analysis import synthetic_study as toy

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_script_imports(name):
    assert callable(importlib.import_module(f"benchmarks.{name}").main)


def test_the_laws_figure_has_a_panel_an_arm_with_and_without_a_divergence(tmp_path, tmp_path_factory):
    study = read(Store(toy.shared(tmp_path_factory)), "toy", tmp_path)
    calm = study.finals["arm"] == "kl_smooth"
    study = replace(study, finals=study.finals.assign(diverged=study.finals["diverged"] & ~calm,
                                                      diverged_at=study.finals["diverged_at"].mask(calm)))
    frame = law_figure.draw(study, tmp_path / "law")
    assert set(frame["arm"]) == set(study.arms) and set(frame["mcmc_steps"]) == {20}
    assert not frame.loc[frame["arm"] == "kl_smooth", "diverged"].any() and frame["diverged"].any()
    pd.testing.assert_frame_equal(frame, pd.read_csv(tmp_path / "law.csv"))
    assert (tmp_path / "law.svg").stat().st_size > 10_000
