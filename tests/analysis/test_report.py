"""The files of one whole page, which is drawn once for all of these tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import chdir
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree
from urllib.parse import unquote

import pandas as pd
import pytest
from PIL import Image

from analysis import report
from tests.analysis import synthetic_study as toy

ROOT = Path(__file__).resolve().parents[2]
KINDS = {  # figures of the issue -> what their files begin with
    "F1": "quality", "F2": "divergence", "F3 gradients": "pareto_particle_gradients",
    "F3 time": "pareto_cpu_seconds", "F4": "curves_0-1", "F5": "profiles", "F6 importance": "importance",
    "F6 path": "path", "F7": "replicates_5", "F8 alone": "samples_0-1_5_0_kl", "F8 nearest": "nearest_0-1_5_0_kl",
    "F8 joint": "joint_0-1_5", "F8 data": "samples_data", "F9": "survival_0-2"}


@pytest.fixture(scope="module")
def written(toy_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    with chdir(root):
        assert report.main(["--tracking-uri", toy_uri, "--out", "r"]) == 0
    return root / "r"


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    return (written / "index.html").read_text(encoding="utf-8")


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_loads_nothing_from_elsewhere(html):
    tags = _Page(html).tags
    links = [v for _, attrs in tags for k, v in attrs.items() if k in ("src", "href", "xlink:href")]
    assert links and all(v.startswith(("#", "data:")) for v in links)
    assert not {"link", "iframe"} & {tag for tag, _ in tags}
    assert [attrs for tag, attrs in tags if tag == "script"] == [{}]  # ours, inline
    assert "@import" not in html and not re.search(r"url\((?!#)", html)


def test_every_figure_has_a_name_and_ids_are_unique(written, html):
    tags = _Page(html).tags
    figures = [attrs for tag, attrs in tags if tag == "svg" and attrs.get("class") != "glyphs"]
    assert len(figures) == len(list((written / "figures").glob("*.svg"))) >= 15
    assert all(a["role"] == "img" and a["aria-label"] for a in figures)
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = [v[1:] for _, a in tags for k, v in a.items() if k in ("href", "xlink:href") and v.startswith("#")]
    assert used and set(used) <= set(ids)


def test_the_answer_comes_first_and_missing_work_is_said(html):
    order = ("<h1>Does the", 'class="answer">At step size', "3 of 24 planned design cells", "<figure", "<b>142</b>",
             ">Findings</h2>", "<table", "How it was measured</h2>")
    assert sorted(order, key=html.index) == list(order)
    assert "c0ffee123456" in html and "torch 2.13.0" in html and "python analysis/report.py --study toy" in html


def test_each_figure_comes_as_svg_png_and_data(written):
    names = {p.stem for p in (written / "figures").iterdir()}
    assert all((written / "figures" / f"{n}.{e}").stat().st_size for n in names for e in ("svg", "png", "csv"))
    tables = {p.stem for p in (written / "tables").glob("*.md")}
    assert {"common_cell", "best_cells", "design_cells", "confirm_cells", "search_cells", "limits"} <= tables


def _different(one: Path, other: Path) -> list[Path]:
    """Files that only one of the folders has, or whose bytes differ."""
    ours, theirs = ({p.relative_to(root) for p in root.rglob("*") if p.is_file()} for root in (one, other))
    return sorted((ours ^ theirs) | {p for p in ours & theirs if (one / p).read_bytes() != (other / p).read_bytes()})


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_figure_is_there_as_svg_png_and_csv(written, kind):
    path = written / "figures" / KINDS[kind]
    assert path.with_suffix(".svg").read_text().startswith("<?xml") and len(pd.read_csv(path.with_suffix(".csv")))
    with Image.open(path.with_suffix(".png")) as picture:
        assert min(picture.size) > 200


def test_all_arms_show_the_smallest_seed_that_survived_in_all(written):
    """At 0.1 and 5 steps all survive: seed 0. At 0.2 and 20 steps kl lost all and kl_smooth all but 3 and 4, of which
    no sheet was kept: each shows the first that it has."""
    at = pd.read_csv(written / "figures" / "joint_0-1_5.csv")
    assert at["arm"].tolist() == list(toy.ARMS) and set(at["seed"]) == {0}
    lost = pd.read_csv(written / "figures" / "joint_0-2_20.csv")
    assert lost["verdict"].tolist() == ["diverged", "survived", "diverged"] and set(lost["seed"]) == {0}
    assert not (written / "figures" / "nearest_0-2_20_0_kl.svg").exists()  # the diverged have no nearest


def test_every_figure_and_every_table_has_its_data_in_a_link(written, html):
    links = {name: unquote(unescape(href).partition(",")[2])
             for name, href in re.findall(r'<a download="([^"]+)" href="data:text/csv;charset=utf-8([^"]+)"', html)}
    figures = {p.name: p.read_text() for p in (written / "figures").glob("*.csv")}
    tables = {p.stem + ".csv" for p in (written / "tables").glob("*.md")}
    assert set(links) == set(figures) | tables and {"common_cell.csv", "design_cells.csv", "budget.csv"} <= tables
    assert html.count("<table>") == len(tables)
    numbers = {name: (written / "tables" / name).read_text() for name in tables - set(figures)
               if (written / "tables" / name).exists()}
    assert len(numbers) > 5 and {name: links[name] for name in numbers} == numbers
    assert {name: links[name] for name in figures if name not in tables} == {
        name: text for name, text in figures.items() if name not in tables}


def test_a_page_is_small(written, html):
    """Three arms with 24 cells: the limit is 1.5 MB; glyphs in every figure alone would add 0.6."""
    assert len(html.encode()) < 1_000_000
    whole = sum(p.stat().st_size for p in (written / "figures").glob("*.svg"))
    assert len(re.findall(r"<svg.*?</svg>", html, re.DOTALL)) > 15
    assert sum(map(len, re.findall(r"<svg.*?</svg>", html, re.DOTALL))) < 0.6 * whole


def test_the_same_store_gives_the_same_bytes(written, toy_uri, tmp_path):
    """From the cache of the page before, in another process, whose sets and hashes have another order."""
    copytree(written / "cache", tmp_path / "r" / "cache")
    command = [sys.executable, "-m", "analysis.report", "--tracking-uri", toy_uri, "--out", "r"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "4711"}
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=environment)
    assert _different(written, tmp_path / "r") == []
