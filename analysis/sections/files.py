"""The tables as files: words as Markdown and LaTeX, the numbers behind them as CSV and Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.sections.canvas import Section


def write_tables(sections: Sequence[Section], every: pd.DataFrame, out: Path) -> None:
    """All tables of the page, and `all_measures`. Files of an earlier report that are not written again go."""
    out.mkdir(parents=True, exist_ok=True)
    words = {name: frame for section in sections for name, frame in section.tables}
    raw = {"all_measures": every} | {name: frame for section in sections for name, frame in section.raw.items()}
    for name, frame in words.items():
        (out / f"{name}.md").write_text(markdown(frame), encoding="utf-8")
        (out / f"{name}.tex").write_text(latex(frame), encoding="utf-8")
    for name, frame in raw.items():
        frame.to_csv(out / f"{name}.csv", index=False)
        frame.to_parquet(out / f"{name}.parquet", index=False)
    for file in out.glob("*.*"):
        known = raw if file.suffix in (".csv", ".parquet") else words
        if file.suffix in (".md", ".tex", ".csv", ".parquet") and file.stem not in known:
            file.unlink()


def markdown(frame: pd.DataFrame) -> str:
    """The table with its bold cells marked; a | in a name is escaped."""
    safe = frame.map(lambda v: str(v).replace("|", "\\|"))
    for row, column in frame.attrs.get("bold", []):
        safe.loc[safe.index[row], column] = f"**{safe[column].iloc[row]}**"
    return safe.to_markdown(index=False, disable_numparse=True) + "\n"


def latex(frame: pd.DataFrame) -> str:
    """The table for a paper, its names escaped; needs booktabs."""
    style = frame.reset_index(drop=True).style.hide(axis="index").format(escape="latex")
    for row, column in frame.attrs.get("bold", []):
        style = style.map(lambda _: "textbf:--rwrap;", subset=([row], [column]))
    return str(style.format_index(escape="latex", axis=1).to_latex(hrules=True))
