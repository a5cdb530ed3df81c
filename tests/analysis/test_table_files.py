"""The tables as files: one frame each, names that stay text, LaTeX that compiles."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from analysis.page.markup import latex_text, markdown_prose, markdown_text
from analysis.page.tables import latex, markdown, write_tables
from analysis.panels.cell_tables import FLOOR, main_frame, main_words
from analysis.panels.compared import compared_words
from analysis.panels.limits import limit_words
from analysis.panels.panel import Table
from analysis.stats.comparisons import compared_cells, comparisons
from analysis.stats.limits import limits
from analysis.text.formatting import spoken
from tests.analysis.small_study import study

NAMES = ["[0.1] \u03ba \u2212 \u00b1 \u2013", "a & b_1 $x$ 50% #2 ~ ^ \\ {c}", "*star*",
         "<script>|\"--`\u4e2d\u00e9\u221e"]


def toy():
    floors = {"kid": {"mean": 0.001, "sd": 0.002, "n": 256}}
    return study({(name, 0.1, 5): [i + 0.01 * s for s in range(9)] for i, name in enumerate(NAMES)}, floors=floors)


def words_and_numbers() -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    some = toy()
    bold = [f"{name}-0.1-5" for name in NAMES[:2]]
    frame, compared = main_frame(some, compared_cells(some), ["kid"], bold), comparisons(some)
    return {"common_cell": (main_words(frame, ["kid"]), frame), "limits": (limit_words(limits(some)), limits(some)),
            "comparisons": (compared_words(compared, some), compared.drop(columns="test"))}


def test_each_table_s_numbers_have_the_rows_of_its_words_the_floor_too(tmp_path):
    tables = words_and_numbers()
    written = [Table(name, words, raw) for name, (words, raw) in tables.items()]
    write_tables(written, tmp_path, dict.fromkeys(tables, "100 % of [a_b]"))
    for name, (words, _) in tables.items():
        parquet, csv = pd.read_parquet(tmp_path / f"{name}.parquet"), pd.read_csv(tmp_path / f"{name}.csv")
        assert parquet["arm"].tolist() == csv["arm"].tolist() == words["arm"].tolist()
        assert len((tmp_path / f"{name}.md").read_text().splitlines()) == len(words) + 2
        assert (tmp_path / f"{name}.tex").read_text().count(r" \\") == len(words) + 1
    main = pd.read_parquet(tmp_path / "common_cell.parquet")
    assert main["arm"].tolist() == [*NAMES, FLOOR] and main["kid_sd"].tolist()[-1] == 0.002
    with pytest.raises(AssertionError, match="limits: 4 rows of words, 3 of numbers"):
        words, raw = tables["limits"]
        write_tables([Table("limits", words, raw.iloc[1:])], tmp_path, {})


def test_bold_reaches_latex_and_markdown_in_its_cells_only():
    words, _ = words_and_numbers()["common_cell"]
    assert words.attrs["bold"] == [[0, "kid"], [1, "kid"]]
    for text, mark in ((latex(words, "t", ""), r"\textbf{"), (markdown(words), "**")):
        rows = [line for line in text.splitlines() if "(n = 9)" in line]
        assert [line.replace(r"\*", "").count(mark) for line in rows] == [1 if mark[0] == "\\" else 2] * 2 + [0] * 2


def test_latex_has_caption_label_numbers_to_the_right_and_names_for_people():
    words = pd.DataFrame({"arm": ["kl", "jko"], "step size": ["0.12", "0.4"], "kid_clf64_256, difference": [
        "\u22120.1 [\u22120.2, 0.1]", "\u2013"], "outcome": ["none " * 9, "\u2013"], "Holm p": ["\u2013", "\u2013"]})
    text = latex(words, "own", "What it says, 95 %.")
    assert text.startswith("\\begin{table}[htbp]\n\\centering\\footnotesize\n\\caption{What it says, 95 \\%.}\n"
                           "\\label{tab:own}\n\\begin{tabular}{lrrp{3.6cm}l}\n\\toprule\narm & step size & "
                           "\\begin{tabular}[t]{@{}r@{}}KID\\\\(clf64, n = 256), difference\\end{tabular} & outcome "
                           "& Holm p \\\\\n")
    assert (r"kl & 0.12 & \begin{tabular}[t]{@{}r@{}}\ensuremath{-}0.1\\{[}\ensuremath{-}0.2, 0.1]\end{tabular} & "
            "none none") in text
    assert [spoken(name) for name in ("kid_clf64_64_long", "particle_gradients", "gpu_seconds", "contrast_32",
                                      "energy_distance_256", "MCMC steps")] == [
        "KID (clf64, n = 64, longer chains)", "particle gradients", "GPU seconds", "contrast (n = 32)",
        "energy distance (n = 256)", "MCMC steps"]


def test_names_stay_text():
    assert latex_text("[a] \u03ba \u2212 50%") == r"{[}a] \ensuremath{\kappa} \ensuremath{-} 50\%"
    assert latex_text("a--b \u4e2d") == "a-{}-b U+4E2D"
    assert markdown_text("<b>|*x*`") == "&lt;b>\\|\\*x\\*\\`"
    assert markdown_prose("<img> at `long_run` [0.1, 0.2] [x](javascript:1)") == (
        "&lt;img> at `long_run` [0.1, 0.2] [x]\\(javascript:1)")


@pytest.mark.slow
def test_every_table_compiles_with_plain_latex(tmp_path: Path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed here")
    body = "\n\n".join(latex(words, name, f"{name} of 100 % [a_b], {NAMES[1]}: `kid`.")
                       for name, (words, _) in words_and_numbers().items())
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\nTables \\ref{tab:common_cell} and "
        "\\ref{tab:limits}.\n" + body + "\n\\end{document}\n", encoding="utf-8")
    for _ in (1, 2):  # the second time references are known
        done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path,
                              capture_output=True, text=True, errors="replace", timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]
    assert "undefined" not in done.stdout
    assert (tmp_path / "t.pdf").stat().st_size > 0 and "Missing character" not in done.stdout
