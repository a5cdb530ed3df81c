"""The report's files: tables as CSV, Markdown and LaTeX, the findings as Markdown, and one HTML page with all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis import about, tables
from analysis.findings import RULE, comparisons, findings, missing
from analysis.load import COSTS, Store, Study
from analysis.palette import THEME
from analysis.panels import Panels, Section

SHOWN = 3  # quality measures in a main table, beside one cost; the CSV files hold all
NOTE = "Mean [95 % t interval] over n surviving replicates; diverged: k/n [Wilson 95 %]; floor: mean \u00b1 sd."


def write(study: Study, store: Store, out: Path) -> Path:
    """Writes everything under `out`; returns the page's path."""
    said, told = findings(study), _tables(study, out / "tables")
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = env.get_template("template.html").render(
        study=study,
        theme=THEME,
        findings=said,
        missing=missing(study),
        rule=RULE,
        facts=about.facts(study),
        told=told,
        sections=Panels(study, store, out).sections(),
        method=about.method(study),
        commands=about.commands(study),
    )
    (out / "index.html").write_text(page, encoding="utf-8")
    lines = [f"# {study.name}", "", str(study.plan.get("question", "")), "", *(f"- {f.text}" for f in said)]
    (out / "findings.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out / "index.html"


def _tables(study: Study, out: Path) -> list[Section]:
    """Writes all tables; returns the sections that show them: the common cell, the best cells, then every cell."""
    out.mkdir(parents=True, exist_ok=True)
    costs = [m for m in study.measures if m in COSTS]
    main = [m for m in study.measures if m not in COSTS][:SHOWN] + costs[:1]
    every = tables.summaries(study.finals, study.measures)
    every.to_csv(out / "all_measures.csv", index=False)
    sections, common = [], tables.common_cell(study)
    if common is not None:
        grid = tables.grid(study)
        at = grid[(grid["step_size"] == common[0]) & (grid["mcmc_steps"] == common[1]) & (grid["replicates"] > 0)]
        here = f"At one common cell: step size {common[0]:g}, {common[1]:g} MCMC steps"
        chosen = " Chosen on the same seeds, so optimistic."
        for name, title, cells, caveat in [
            ("common_cell", here, at, ""),
            ("best_cells", "At each arm's best design cell", tables.best_cells(study), chosen),
        ]:
            if len(cells):
                words = tables.main_table(study, cells, main)
                _files(out, name, words, every[every["config_hash"].isin(cells["config_hash"])])
                sections.append(Section(title, NOTE + caveat, tables=[(title, words)]))
        limits = tables.limits(study)
        _files(out, "limits", tables.limit_words(limits), limits)
    compared = comparisons(study)
    if len(compared):
        compared.drop(columns="test").to_csv(out / "comparisons.csv", index=False)
    for phase, title in (
        ("confirm", "Confirmed on fresh seeds and held-out samples"),
        ("design", "Every design cell"),
        ("search", "Every finished search trial"),
    ):
        words = tables.every_cell(study, phase, main[:SHOWN])
        if len(words):
            _files(out, f"{phase}_cells", words, every[every["phase"] == phase])
            sections.append(Section(title, NOTE, tables=[(title, words)], late=phase != "confirm"))
    return sections


def _files(out: Path, name: str, words: pd.DataFrame, raw: pd.DataFrame) -> None:
    """The raw numbers as CSV, the words as Markdown and LaTeX."""
    raw.to_csv(out / f"{name}.csv", index=False)
    safe = words.map(lambda v: str(v).replace("|", "\\|"))
    text = safe.to_markdown(index=False, disable_numparse=True)
    (out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (out / f"{name}.tex").write_text(tables.latex(words), encoding="utf-8")
