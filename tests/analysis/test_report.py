"""The command line and the files it writes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import chdir
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis import report
from analysis.page import about
from study.schema.plan import Limit
from tests.analysis import synthetic_study as toy

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ("kl<script>alert(1)</script>", "jko & $x_1$ %", "a|b\"'")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toy.shared(tmp_path_factory.getbasetemp() / "toy")


@pytest.fixture(scope="module")
def written(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    with chdir(root):
        assert report.main(["--tracking-uri", uri, "--out", "r"]) == 0
    return root / "r"


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_loads_nothing_from_elsewhere(written):
    text = (written / "index.html").read_text()
    tags = _Page(text).tags
    links = [v for _, attrs in tags for k, v in attrs.items() if k in ("src", "href", "xlink:href")]
    assert links and all(v.startswith(("#", "data:")) for v in links)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    assert "@import" not in text and not re.search(r"url\((?!#)", text)


def test_every_figure_has_a_name_and_ids_are_unique(written):
    tags = _Page((written / "index.html").read_text()).tags
    figures = [attrs for tag, attrs in tags if tag == "svg" and attrs.get("class") != "glyphs"]
    assert len(figures) == len(list((written / "figures").glob("*.svg"))) >= 15
    assert all(a["role"] == "img" and a["aria-label"] for a in figures)
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = [v[1:] for _, a in tags for k, v in a.items() if k in ("href", "xlink:href") and v.startswith("#")]
    assert used and set(used) <= set(ids)


def test_findings_come_first_and_missing_work_is_said(written):
    text = (written / "index.html").read_text()
    order = ("3 of 24 planned design cells", "Findings", "<table", "<figure", "How it was measured</h2>")
    assert sorted(order, key=text.index) == list(order)
    assert "c0ffee123456" in text and "torch 2.13.0" in text and "python analysis/report.py --study toy" in text


def test_each_figure_comes_as_svg_png_and_data(written):
    names = {p.stem for p in (written / "figures").iterdir()}
    assert all((written / "figures" / f"{n}.{e}").stat().st_size for n in names for e in ("svg", "png", "csv"))
    tables = {p.stem for p in (written / "tables").glob("*.md")}
    assert {"common_cell", "best_cells", "design_cells", "confirm_cells", "search_cells", "limits"} <= tables


def test_the_same_store_gives_the_same_bytes(written, uri, tmp_path):
    """In another process, whose sets and hashes have another order; and again from the cache."""
    command = [sys.executable, "-m", "analysis.report", "--tracking-uri", uri, "--out", "r"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "4711"}
    for _ in ("cold", "warm"):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=environment)
        assert _different(written, tmp_path / "r") == []


def _different(one: Path, other: Path) -> list[Path]:
    """Files that only one of the folders has, or whose bytes differ."""
    ours, theirs = ({p.relative_to(root) for p in root.rglob("*") if p.is_file()} for root in (one, other))
    return sorted((ours ^ theirs) | {p for p in ours & theirs if (one / p).read_bytes() != (other / p).read_bytes()})


def test_hostile_names_are_text(tmp_path, uri, capsys):
    from shutil import copy

    copy(uri.removeprefix("sqlite:///"), tmp_path / "mlflow.db")  # a store with its tables made
    store = f"sqlite:///{tmp_path}/mlflow.db"
    name = "<img src=x onerror=alert(1)>"
    toy.write(store, tmp_path / "artifacts", name, HOSTILE)
    assert report.main(["--study", name, "--tracking-uri", store, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "index.html").read_text()
    assert {tag for tag, _ in _Page(text).tags}.isdisjoint({"script", "img"})
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "&lt;img src=x" in text
    latex = (tmp_path / "out" / "tables" / "common_cell.tex").read_text()
    assert r"jko \& \$x\_1\$ \%" in latex
    assert r"a\|b" in (tmp_path / "out" / "tables" / "common_cell.md").read_text()


def test_an_unknown_study_names_the_nearest(uri, capsys):
    assert report.main(["--study", "tooy", "--tracking-uri", uri]) == 2
    assert capsys.readouterr().err == "report: no study named 'tooy'; did you mean toy? (studies: toy)\n"


def test_a_study_named_twice_is_one(uri, tmp_path, capsys):
    words = ["--study", "toy", "--study", "toy", "--tracking-uri", uri, "--out", str(tmp_path)]
    assert report.main(words) == 0
    assert capsys.readouterr().out.startswith("toy: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_one_sentence(number, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        silent.settimeout(60)
        process = subprocess.Popen([sys.executable, str(ROOT / "analysis" / "report.py"), "--tracking-uri", uri],
                                   cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        with silent.accept()[0]:  # it waits for an answer
            process.send_signal(number)
            said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (130, "report: interrupted; the same command writes it\n")


@pytest.mark.parametrize("option", ["--out", "--export"])
def test_an_empty_path_is_refused(option, uri, tmp_path, monkeypatch, capsys):
    """It would be this folder, among whose files the report's would lie."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        report.main(["--study", "toy", "--tracking-uri", uri, option, ""])
    assert ended.value.code == 2 and not list(tmp_path.iterdir())
    assert f"argument {option}: found '', expected a path" in capsys.readouterr().err


def test_a_missing_store_is_one_sentence(tmp_path, capsys):
    assert report.main(["--tracking-uri", f"sqlite:///{tmp_path}/no.db"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_server_that_is_away_is_one_sentence(capsys):
    assert report.main(["--tracking-uri", "http://me:secret@127.0.0.1:9"]) == 2
    said = capsys.readouterr().err
    assert said == "report: no tracking server answers at http://me:PASSWORD@127.0.0.1:9 (ConnectionError)\n"


@pytest.mark.parametrize("command", [[str(ROOT / "analysis" / "report.py")], ["-m", "analysis.report"]])
def test_help_is_fast_because_it_imports_nothing_heavy(command):
    code = ["-X", "importtime", *command, "--help"]
    done = subprocess.run([sys.executable, *code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--tracking-uri" in done.stdout
    loaded = set(re.findall(r"\|\s+([\w.]+)$", done.stderr, re.MULTILINE))
    assert "argparse" in loaded and not {"pandas", "mlflow", "seaborn", "numpy", "matplotlib"} & loaded


def test_run_as_a_file_it_imports_from_the_root_and_neither_torch_nor_ray(tmp_path):
    script = ROOT / "analysis" / "report.py"
    probe = (
        "import runpy, sys\n"
        f"sys.argv, sys.path[0] = ['report.py', '--help'], {str(script.parent)!r}\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit as end: print('exit', end.code)\n"
        "import analysis.page.page, analysis.report\n"
        f"print(sys.path[0], {str(script.parent)!r} in sys.path, {{'torch', 'ray'}} & set(sys.modules))\n"
        "print(analysis.page.page.__file__)\n"
    )
    command = [sys.executable, "-c", probe]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment)
    page = ROOT / "analysis" / "page" / "page.py"
    assert done.stdout.splitlines()[-3:] == ["exit 0", f"{ROOT} False set()", str(page)]


def test_predicted_limits_read_as_words():
    ends = {"delta_min_low": 0.03, "delta_min_high": 0.04, "delta_med_low": None, "delta_med_high": None}
    some = Limit(knobs={"jko_weight": 0.1}, delta_min=0.0333, delta_med=None, delta_kappa1=None, **ends)
    assert about._limit(some) == (
        "0.033 [0.030, 0.040] smallest, none median direction (jko_weight=0.1)")
    none = Limit(**dict.fromkeys(Limit.model_fields) | {"knobs": {}})
    assert about._limit(none) == "no finite limit"
