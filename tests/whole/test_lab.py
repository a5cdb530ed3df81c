"""docs/own.md, command by command: method, network, data set, measure, sampler, panel and extractor from outside, from
one YAML through real Ray to the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.whole import pages

pytestmark = pytest.mark.slow

PAGE = pages.ROOT / "docs/own.md"
STRANGER = "raise SystemExit('not ours')\n"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder in which the page's commands have run, and what each has said."""
    folder, found = tmp_path_factory.mktemp("lab"), {}
    assert len(pages.files(PAGE)) == 9, "seven seams, the study's file and the contracts"
    pages.prepare(folder, PAGE)
    (folder / "mylab/__init__.py").touch()
    for command in pages.commands(PAGE):
        if "study.launch" in command:  # it and the report take no module from here but those that the study names
            (folder / "random.py").write_text(STRANGER)
        if "pytest" in command:
            (folder / "random.py").unlink()
        found[command] = pages.run(folder, command + (" --max-concurrent 1" if "study.launch" in command else ""))
        if command.startswith("sha256sum"):
            study = folder / "lab.yaml"
            study.write_text(study.read_text().replace("CHECKSUM", found[command].split()[0]))
    return folder, found


@pytest.fixture
def lab(said: tuple[Path, dict[str, str]]) -> Path:
    """The folder, once the page has made its study and its report."""
    return said[0]


def test_its_method_and_its_network_keep_the_contracts(said: tuple[Path, dict[str, str]]) -> None:
    assert re.search(r" \d\d passed in ", said[1]["python -m pytest tests"])


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
    assert {"contrast_32", "kid_ssl64_32", "kid_means_32"} <= set(every["measure"])
    cells = pd.read_csv(out / "tables/design_cells.csv")
    assert cells["contrast_32"].notna().all()
    assert {"kl (blocks=1)", "kl (blocks=2)", "Centred (blocks=1)", "Centred (blocks=2)"} <= set(cells["arm"])
