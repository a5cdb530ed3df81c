"""docs/tutorial.md, command by command, and docs/dashboard.md on a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest

from study.run.search.export import sqlite
from tests.whole import pages

pytestmark = pytest.mark.slow

LESS = (" --set train.updates=6 --set train.mcmc_steps=4 --set design.replicates=2 --set confirm.replicates=2"
        " --set evaluation.points=2 --max-concurrent 1")  # training of seconds, and one worker
STAYS = "mlflow ui"  # until Ctrl-C


def test_the_tutorial_goes_from_images_to_a_figure_samples_and_a_registered_network(tmp_path: Path) -> None:
    page, said = pages.ROOT / "docs/tutorial.md", {}
    pages.prepare(tmp_path, page)
    for command in pages.commands(page):
        text, _, comment = command.partition("  #")
        if not text.startswith(STAYS):
            less = LESS if "study.launch" in text else ""
            said[text.strip()] = pages.run(tmp_path, text + less), comment
    assert "400 different images" in said["python -m study.new --images photos"][0]
    plan = said["python -m study.launch --space photos.yaml --dry-run"][0]
    assert "0.0023 (" in plan and "0.44 (" in plan and "confirm: 2 configurations" in plan
    assert "units of work: 0 left" in said["python -m study.launch --space photos.yaml --status"][0]
    assert (tmp_path / "reports/photos/index.html").exists()
    assert list(tmp_path.glob("reports/photos/figures/*.png")) and list(tmp_path.glob("reports/photos/tables/*.tex"))
    assert (tmp_path / "samples/samples.png").exists()
    assert np.load(tmp_path / "samples/samples.npy").shape == (64, 1, 8, 8)
    shape, comment = said["python load.py"]
    assert shape == "(64, 1, 8, 8)\n" and shape.strip() in comment


def test_optuna_s_command_line_lists_a_search(tmp_path: Path) -> None:
    page, study = pages.ROOT / "docs/dashboard.md", optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=0.25))
    (tmp_path / "runs/smoke/search/v").mkdir(parents=True)
    (tmp_path / "runs/smoke/search/v/optuna.db").write_bytes(sqlite({"smoke jko": study}, {"kid": 1}))
    said = [pages.run(tmp_path, f"PYTHONWARNINGS=ignore {command}") for command in pages.commands(page)
            if command.startswith("optuna ")]
    assert len(said) == 2 and "smoke jko" in said[0] and "{'kid': 0.25}" in said[1]
