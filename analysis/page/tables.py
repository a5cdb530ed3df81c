"""The tables as files: words as Markdown and LaTeX, and the numbers that they say as CSV and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.page.markup import latex_text, markdown_text
from analysis.panels.panel import Table


def write_tables(tables: Sequence[Table], out: Path) -> None:
    """All tables, row by row as words and as numbers. Files of an earlier report that are not written again go."""
    out.mkdir(parents=True, exist_ok=True)
    for table in tables:
        if table.words is not None:
            assert len(table.words) == len(table.numbers), (
                f"{table.name}: {len(table.words)} rows of words, {len(table.numbers)} of numbers")
            (out / f"{table.name}.md").write_text(markdown(table.words), encoding="utf-8")
            (out / f"{table.name}.tex").write_text(latex(table.words), encoding="utf-8")
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


def latex(frame: pd.DataFrame) -> str:
    """The table for a paper, for plain pdflatex with booktabs; no name in it is a command."""
    strong = {(row, column) for row, column in frame.attrs.get("bold", [])}
    lines = [" & ".join(map(latex_text, frame.columns))]
    for i, row in enumerate(frame.to_dict("records")):
        cells = ((column, latex_text(value)) for column, value in row.items())
        lines.append(" & ".join(f"\\textbf{{{text}}}" if (i, column) in strong else text for column, text in cells))
    head, *body = (f"{line} \\\\" for line in lines)
    return "\n".join([f"\\begin{{tabular}}{{{'l' * frame.shape[1]}}}", "\\toprule", head, "\\midrule", *body,
                      "\\bottomrule", "\\end{tabular}", ""])
