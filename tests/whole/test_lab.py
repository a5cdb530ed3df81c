"""CONTRIBUTING's lab, in a folder of its own: method, network, data set, measure, sampler, panel and extractor from
outside, from one YAML through real Ray to the report."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.stores import template

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", re.DOTALL)


def run(folder: Path, *words: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "PYTHONPATH")}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True,
                          check=False, timeout=500)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, once the page has made its study and its report."""
    folder = tmp_path_factory.mktemp("lab")
    blocks = dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert len(blocks) == 8, "seven seams and the study's file"
    (folder / "mylab").mkdir()
    (folder / "mylab/__init__.py").touch()
    (folder / "random.py").write_text("raise SystemExit('not ours')\n")
    for name, text in blocks.items():
        (folder / name).write_text(text)
    shutil.copy(template(), folder / "mlflow.db")
    run(folder, "-P", "mylab/means.py")
    checksum = hashlib.sha256((folder / "means.pt2").read_bytes()).hexdigest()
    (folder / "lab.yaml").write_text(blocks["lab.yaml"].replace("CHECKSUM", checksum))
    run(folder, "-m", "study.launch", "--space", "lab.yaml", "--quiet")
    run(folder, str(ROOT / "analysis/report.py"), "--study", "lab", "--panel", "panels_of_mine:Contrast")
    return folder


CONTRACTS = """
import sys

sys.path.append("..")

from models.testing import MethodContract
from models.testing.network import NetworkContract

class TestCentred(MethodContract):
    method = "mylab.centred:Centred"

class TestResidual(NetworkContract):
    network = "mylab.residual:Residual"
"""


def test_its_method_and_its_network_keep_the_contracts(lab: Path) -> None:
    (lab / "tests").mkdir()
    (lab / "tests/test_contracts.py").write_text(CONTRACTS)
    assert re.search(r"^\d\d passed", run(lab / "tests", "-m", "pytest", "-q", "-p", "no:xdist"), re.M)


def test_what_was_trained_is_the_lab_s(lab: Path) -> None:
    plan = json.loads((lab / "runs/lab/plan.json").read_text())
    assert plan["data"]["name"] == "mylab.stripes:Stripes" and plan["data"]["n"] == {
        "train": 200, "search": 60, "confirm": 60}
    assert plan["search"]["sampler"] == "mylab.nearby:Nearby" and plan["search"]["directions"] == ["minimize"]
    assert plan["measures"]["contrast_32"] == {
        "label": "difference of the pixels' sd", "direction": "minimize", "unit": "half the range"}
    assert plan["arms"]["Centred"]["limits"][0]["delta_min"] == plan["arms"]["kl"]["limits"][0]["delta_min"] > 0
    assert "contrast_32" in plan["floors"]
    units = [json.loads(path.read_text())["configuration"] for path in lab.glob("runs/lab/*/*/config.json")]
    assert len(units) == 2 * (4 + 4 + 1)
    assert {1, 2} <= {one["knobs"]["blocks"] for one in units} <= {1, 2, 3}
    assert all(set(one["imports"]) == {"mylab"} for one in units)


def test_the_page_and_its_tables_show_it(lab: Path) -> None:
    out = lab / "reports/lab"
    page = (out / "index.html").read_text(encoding="utf-8")
    said = "difference of the pixels&#39; sd in half the range, lower is better"
    assert f"contrast_32: {said}" in page and page.count(said) >= 2
    assert "mylab.stripes:Stripes" in page and "Contrast by arm" in page and (out / "figures/contrast.svg").exists()
    every = pd.read_csv(out / "tables/all_measures.csv")
    assert {"contrast_32", "kid_rnd64_32", "kid_means_32"} <= set(every["measure"])
    cells = pd.read_csv(out / "tables/design_cells.csv")
    assert cells["contrast_32"].notna().all()
    assert {"kl (blocks=1)", "kl (blocks=2)", "Centred (blocks=1)", "Centred (blocks=2)"} <= set(cells["arm"])


def test_a_change_of_the_code_is_told_and_makes_another_version(lab: Path) -> None:
    code = lab / "mylab/centred.py"
    before = code.read_text()
    look = ("-m", "study.launch", "--space", "lab.yaml", "--dry-run")
    assert "is not the last launch's" not in run(lab, *look)
    code.write_text(before.replace("square()", "abs()"))
    assert re.search(r"version \w+ is not the last launch's: the code of mylab: \"\w+\", now \"\w+\"", run(lab, *look))
    code.write_text(before)
