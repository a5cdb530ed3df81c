"""The tables as files: words as Markdown and LaTeX, and the numbers that they say, row by row, as CSV and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.markup import latex_text, markdown_text
from analysis.sections.canvas import Section


def write_tables(sections: Sequence[Section], every: pd.DataFrame, out: Path) -> None:
    """All tables of the page, each with its numbers, and `all_measures`. Files of an earlier report that are not
    written again go."""
    out.mkdir(parents=True, exist_ok=True)
    words = {name: frame for section in sections for name, frame in section.tables}
    raw = {"all_measures": every} | {name: frame for section in sections for name, frame in section.raw.items()}
    for name, frame in words.items():
        assert len(frame) == len(raw[name]), f"{name}: {len(frame)} rows of words, {len(raw[name])} of numbers"
        (out / f"{name}.md").write_text(markdown(frame), encoding="utf-8")
        (out / f"{name}.tex").write_text(latex(frame), encoding="utf-8")
    for name, frame in raw.items():
        frame = frame.astype({c: str for c in frame if frame[c].map(type).nunique() > 1 and frame[c].dtype == object})
        frame.to_csv(out / f"{name}.csv", index=False)
        frame.to_parquet(out / f"{name}.parquet", index=False)
    for file in out.glob("*.*"):
        known = raw if file.suffix in (".csv", ".parquet") else words
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
