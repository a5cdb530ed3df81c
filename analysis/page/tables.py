"""The tables as files: words as Markdown and LaTeX, and the numbers that they say as CSV and Parquet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.page.markup import latex_text, markdown_text
from analysis.panels.panel import Table
from analysis.text.formatting import DASH, spoken

LONG = 32  # letters of a cell from which its column breaks into lines


def write_tables(tables: Sequence[Table], out: Path, captions: Mapping[str, str]) -> None:
    """All tables, row by row as words and as numbers. Files of an earlier report that are not written again go.
    captions: of each table with words, for LaTeX."""
    out.mkdir(parents=True, exist_ok=True)
    for table in tables:
        if table.words is not None:
            assert len(table.words) == len(table.numbers), (
                f"{table.name}: {len(table.words)} rows of words, {len(table.numbers)} of numbers")
            (out / f"{table.name}.md").write_text(markdown(table.words), encoding="utf-8")
            text = latex(table.words, table.name, captions[table.name])
            (out / f"{table.name}.tex").write_text(text, encoding="utf-8")
        frame = table.numbers
        frame = frame.astype({c: str for c in frame if frame[c].map(type).nunique() > 1 and frame[c].dtype == object})
        frame.to_csv(out / f"{table.name}.csv", index=False)
        frame.to_parquet(out / f"{table.name}.parquet", index=False)
    numbers, words = {t.name for t in tables}, {t.name for t in tables if t.words is not None}
    for file in out.glob("*.*"):
        known = numbers if file.suffix in (".csv", ".parquet") else words
        if file.suffix in (".md", ".tex", ".csv", ".parquet") and file.stem not in known:
            file.unlink()


def markdown(frame: pd.DataFrame) -> str:
    """The table with its bold cells marked; no name in it is Markdown or HTML."""
    safe = frame.map(markdown_text).rename(columns=markdown_text).reset_index(drop=True)
    for row, column in frame.attrs.get("bold", []):
        name = markdown_text(column)
        safe.loc[row, name] = f"**{safe[name].iloc[row]}**"
    return safe.to_markdown(index=False, disable_numparse=True) + "\n"


def latex(frame: pd.DataFrame, name: str, caption: str) -> str:
    """The table for a paper, for plain pdflatex with booktabs: numbers to the right, an interval and n under their
    estimate, measures by names for people; no name in it is a command."""
    strong = {(row, column) for row, column in frame.attrs.get("bold", [])}
    place = {column: _place(cells) for column, cells in frame.items()}
    lines = [" & ".join(_stacked(spoken(column), place[column]) for column in frame.columns)]
    for i, row in enumerate(frame.to_dict("records")):
        cells = ((column, _stacked(value, place[column]) if place[column] == "r" else latex_text(value))
                 for column, value in row.items())
        lines.append(" & ".join(f"\\textbf{{{text}}}" if (i, column) in strong else text for column, text in cells))
    head, *body = (f"{line} \\\\" for line in lines)
    return "\n".join([
        r"\begin{table}[htbp]", r"\centering\footnotesize", f"\\caption{{{latex_text(caption)}}}",
        f"\\label{{tab:{name}}}", f"\\begin{{tabular}}{{{''.join(place.values())}}}", r"\toprule", head, r"\midrule",
        *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _parts(text: Any) -> list[str]:
    """`0.1 [0, 0.2] (n = 7)` as three."""
    return re.split(r" (?=[\[(])", str(text))


def _place(cells: pd.Series) -> str:
    """`r` of numbers, `l` of words, a paragraph of long ones."""
    said = [str(cell) for cell in cells if str(cell) != DASH]
    if said and all(re.match(r"[\d\u2212>]|no limit$", cell) for cell in said) and max(
            len(part) for cell in said for part in _parts(cell)) <= LONG:
        return "r"
    return "p{3.6cm}" if max(map(len, said), default=0) > LONG else "l"


def _stacked(text: Any, place: str) -> str:
    parts = [latex_text(part) for part in _parts(text)]
    lines, side = r"\\".join(parts), "r" if place == "r" else "l"
    return f"\\begin{{tabular}}[t]{{@{{}}{side}@{{}}}}{lines}\\end{{tabular}}" if len(parts) > 1 else lines
