"""What the page says of how a study was measured and how to make it again, and how it shows words and figures."""

from __future__ import annotations

import re
import subprocess
from html import unescape
from pathlib import Path
from shutil import copy

import pandas as pd
import pytest
from markupsafe import Markup
from mlflow import MlflowClient

from analysis import report
from analysis.page import about, page, provenance
from analysis.page.provenance import DIFF_SHOWN, Provenance, commands, documents, noted
from analysis.page.svg import compacted
from analysis.panels.cell_tables import DesignCells
from analysis.read.address import without_password
from analysis.read.load import read
from analysis.read.store import Store
from analysis.text.findings import Finding
from study.schema.plan import Limit
from tests.analysis import synthetic_study as toy

SEARCH = {"sampler": "tpe", "arguments": {"n_startup_trials": 10, "multivariate": True}, "prune": "successive_halving",
          "objectives": [toy.PRIMARY], "directions": ["minimize"],
          "diverged_value": {"kl": [1.667], "jko": [None]}, "log": []}
SPACE = {"file": "my toy.yaml", "text": "study: toy\nmethod: [kl, jko]  # </pre><script>alert(1)</script>\n",
         "overrides": ["design.replicates=6"]}
CELLS = [(0.1, 5), (0.4, 5), (0.4, 20)]
DIFF = "+a </pre><script>alert(2)</script>\n" + "x" * DIFF_SHOWN


@pytest.fixture(scope="module")
def root(toy_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the study toy, launched from changed files on a machine with two GPUs, and its page
    with one table."""
    root = tmp_path_factory.mktemp("page")
    uri = f"sqlite:///{copy(toy_uri.removeprefix('sqlite:///'), root / 'mlflow.db')}"
    client = MlflowClient(uri)
    toy.write(uri, root / "artifacts", "dirty", cells=CELLS)
    [run] = client.search_runs([client.get_experiment_by_name("dirty").experiment_id], "tags.kind = 'launch'")
    for key, value in {"dirty": "true", "cpu": "EPYC <1>", "gpus": "H100, H100", "python": "3.12.1"}.items():
        client.set_tag(run.info.run_id, key, value)
    plan = toy.plan("dirty", dict(zip(toy.ARMS, toy.ARMS, strict=True)), CELLS) | {"search": SEARCH, "space": SPACE}
    client.log_dict(run.info.run_id, plan, "plan.json")
    client.log_text(run.info.run_id, DIFF, "git.diff")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.panels.built_in.PANELS", (DesignCells(),))
        assert report.main(["--study", "dirty", "--tracking-uri", uri, "--out", f"{root}/r"]) == 0
    return root


@pytest.fixture(scope="module")
def html(root: Path) -> str:
    return (root / "r" / "index.html").read_text(encoding="utf-8")


def test_the_launch_is_told_with_changes_hardware_and_sampler(html):
    said = unescape(re.sub(r"<[^>]+>", " ", html[html.index('id="to-how-it-was-measured"'):]))
    for words in ("c0ffee123456, with changes that are not committed", "EPYC <1>; H100, H100; host node",
                  "Python 3.12.1, torch 2.13.0", "2023-11-14 22:13 UTC",
                  "(TPE) with n_startup_trials 10, multivariate True; 6 trials of 2 replicates; objective: "
                  f"{toy.PRIMARY}; pruning: successive halving; a diverged replicate counts as kl: 1.67 and jko: its "
                  "own value",
                  "search: 1 crashed, 3 finished, 1 pruned", "Failed: kl at step size 0.110, 14 MCMC steps (search: ",
                  "3 of 9 planned design cells are missing or short"):
        assert words in said, words


def test_file_spec_and_diff_are_folded_escaped_and_cut(html):
    folded = dict(re.findall(r"<details><summary>([^<]*)</summary><pre>([^<]*)</pre></details>", html))
    assert unescape(folded["The file my toy.yaml"]) == SPACE["text"]
    assert "method: [kl, jko]" in folded["The specification with every default filled in"]
    [title] = [t for t in folded if t.startswith("Changes over the commit")]
    assert f"the first {DIFF_SHOWN:,} of {len(DIFF):,} characters" in title
    assert unescape(folded[title]) == DIFF[:DIFF_SHOWN] and html.count("<script") == 1  # the page's own


def test_a_clean_checkout_shows_no_diff(root, tmp_path):
    study = read(Store(f"sqlite:///{root}/mlflow.db"), "toy", tmp_path)
    of = Provenance(study, {"gpus": "none", "cpu": "EPYC"}, 0, "\n")
    assert [title for title, _ in documents(of)] == ["The specification with every default filled in"]
    assert dict(noted(of))["hardware of the launch"] == "EPYC; no GPU"
    assert dict(noted(of))["search"] == "" and "changes" not in dict(noted(of))["study version, commit"]


def test_the_page_says_which_commit_wrote_it(html):
    """The words may change between commits, though the store does not."""
    root = Path(provenance.__file__).resolve().parents[2]
    said = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    written = re.findall(r"<dt>report written by commit</dt><dd><div>([0-9a-f]+)", html)
    assert [said.stdout.startswith(commit) for commit in written] == ([] if said.returncode else [True])


def test_commands_name_every_study_its_overrides_and_what_is_not_the_default(root, tmp_path):
    store = Store(f"sqlite:///{root}/mlflow.db")
    two = [Provenance(read(store, name, tmp_path), {}, 0, "") for name in ("toy", "dirty")]
    given = ["--tracking-uri", "postgresql://me:secret@db/mlflow", "--out", "my reports"]
    uri = "--tracking-uri postgresql://me:PASSWORD@db/mlflow"
    assert commands(two, given) == [
        "git checkout c0ffee1234567890",
        f"python -m study.launch --space SPEC.yaml {uri}   # the file below",
        "git checkout c0ffee1234567890   # and the changes below",
        f"python -m study.launch --space 'my toy.yaml' --set design.replicates=6 {uri}   # the file below",
        f"python analysis/report.py --study toy --study dirty {uri} --out 'my reports'"]
    assert commands(two[:1])[-1] == "python analysis/report.py --study toy"
    assert without_password("sqlite:///a@b.db") == "sqlite:///a@b.db"


def test_a_table_too_large_for_the_page_is_linked_as_shown(root, monkeypatch):
    words, file = pd.DataFrame({"arm": ["kl"]}), root / "r" / "tables" / "design_cells.csv"
    assert page._numbers(file, words) == (file.read_text(), False)
    monkeypatch.setattr(page, "LINKED_MOST", 1000)
    assert page._numbers(file, words) == ("arm\nkl\n", True)
    assert page._numbers(file.with_name("none.csv"), words) == ("arm\nkl\n", False)


def test_of_many_sentences_the_first_and_the_last_are_shown_and_none_is_lost():
    said = [Finding("law", f"{i}") for i in range(7)] + [Finding("search", "x"), Finding("progress", "y")]
    assert page.grouped(said) == [("law", said[:3], said[3:6], said[6:7]), ("search", said[7:8], [], [])]
    assert page.grouped(said[:5]) == [("law", said[:5], [], [])]


def test_a_cell_shows_the_estimate_first_and_words_as_they_are():
    assert page.cell("0.114 [0.1, 0.2] (n = 7)") == "0.114 <small>[0.1, 0.2] (n = 7)</small>"
    assert page.cell("\u22120.5 \u00b1 0.1") == "\u22120.5 <small>\u00b1 0.1</small>"
    assert page.cell("7 stable (6) <b>") == "7 stable (6) &lt;b&gt;" and page.cell("kl [x]") == "kl [x]"


def test_small_figures_draw_the_same():
    """Glyphs once, and every coordinate within 0.005 of where it was; ids of anything else stay."""
    glyph = '<path id="{0}-DejaVuSans-13" d="M 10 20.5 \nL 3 4 \nz\n" transform="scale(0.015625)"/>'
    one = (f'<svg><defs>{glyph}</defs><g/>\n '
           '<path d="M 1.234567 -0.000001 \nL 9 8.999999 \n" clip-path="url(#{0}-p)"/>'
           '<use xlink:href="#{0}-DejaVuSans-13" transform="translate(63.628906 2) scale(0.085 -0.085)"/>'
           '<use xlink:href="#{0}-m1" x="1.005001" y="7"/></svg>')
    (a, b), shared = compacted([Markup(one.replace("{0}", name)) for name in ("a", "b")])
    assert shared == '<path id="g0" d="M 10 20.5L 3 4z" transform="scale(0.015625)"/>'
    assert a == ('<svg><path d="M 1.23 0L 9 9" clip-path="url(#a-p)"/><use href="#g0" transform="translate(63.63 2) '
                 'scale(0.085 -0.085)"/><use href="#a-m1" x="1.01" y="7"/></svg>')
    assert b == a.replace("#a-", "#b-")


def test_predicted_limits_read_as_words():
    ends = {"delta_min_low": 0.03, "delta_min_high": 0.04, "delta_med_low": None, "delta_med_high": None}
    some = Limit(knobs={"jko_weight": 0.1}, delta_min=0.0333, delta_med=None, delta_kappa1=None, **ends)
    assert about._limit(some) == (
        "0.033 [0.030, 0.040] smallest, none median direction (jko_weight=0.1)")
    none = Limit(**dict.fromkeys(Limit.model_fields) | {"knobs": {}})
    assert about._limit(none) == "no finite limit"
