"""The report's files: tables as CSV, Markdown and LaTeX, the findings as Markdown, and one HTML page with all."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from analysis.page import about
from analysis.page.markup import markdown_prose
from analysis.page.provenance import commands, documents, provenance
from analysis.page.sections import Section, sections
from analysis.page.svg import compacted
from analysis.panels.palette import THEME
from analysis.panels.panel import Panel
from analysis.read.store import Store
from analysis.read.study import Study
from analysis.text.findings import Finding, answer, findings, missing, rule
from analysis.text.formatting import slug

FOLDED_FROM = 15  # rows; a longer table is shown when asked for
LINKED_MOST = 400_000  # characters of a table's numbers on the page; of a larger one the words, as they are shown


def write(study: Study, store: Store, out: Path, refresh: int | None = None, *, parts: Sequence[Study] = (),
          given: Sequence[str] = (), panels: Sequence[Panel]) -> Path:
    """Writes everything under `out`; returns the page's path.

    refresh: seconds after which a browser loads it again. parts: the studies that `study` pools. panels: what the page
    shows, in their order. given: words of the command line beside the studies' names, so that the page can say how to
    write it again.
    """
    said, first = findings(study), answer(study)
    origins = [provenance(part, store, out / "cache") for part in parts or [study]]
    about_it = {"missing": missing(study), "rule": rule(study), "facts": about.facts(study),
                "method": about.method(study, origins)}
    shown, glyphs = _shown(sections(study, out, panels))  # last: a panel from outside may change the study's frames
    env = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
                      trim_blocks=True, lstrip_blocks=True)
    env.filters |= {"prose": prose, "cell": cell, "breakable": breakable, "slug": slug, "data_link": data_link}
    page = env.get_template("template.html").render(
        study=study, refresh=refresh, theme=THEME, answer=first, findings=grouped(said), sections=shown, glyphs=glyphs,
        folded_from=FOLDED_FROM, numbers=lambda name, frame: _numbers(out / "tables" / f"{name}.csv", frame),
        commands=commands(origins, given), **about_it,
        documents=[(title if len(origins) == 1 else f"{of.study.name}: {title}", text)
                   for of in origins for title, text in documents(of)])
    (out / ".index.html").write_text(page, encoding="utf-8")
    os.replace(out / ".index.html", out / "index.html")  # a browser that loads it again never sees half of it
    lines = [f"# {markdown_prose(study.name)}", "", markdown_prose(study.plan.question), "",
             f"**{markdown_prose(first)}**", "",
             *(f"- {markdown_prose(f.text)}" for f in said)]
    (out / "findings.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out / "index.html"


def grouped(said: Sequence[Finding]) -> list[tuple[str, list[Finding], list[Finding], list[Finding]]]:
    """The sentences by what they are about, as (about, first ones, folded ones, last one); nothing is folded of five.

    With many arms the first three and the last, which sums up where one does, stand for all; the rest is a click away.
    """
    out = []
    for kind, group in groupby((f for f in said if f.about != "progress"), key=lambda f: f.about):
        own = list(group)
        out.append((kind, own[:3], own[3:-1], own[-1:]) if len(own) > 5 else (kind, own, [], []))
    return out


def _shown(found: Sequence[Section]) -> tuple[list[Section], Markup]:
    """The sections with their figures made small, and the glyphs that these share."""
    svgs, glyphs = compacted([figure.svg for section in found for figure in section.figures])
    small = iter(svgs)
    return [replace(s, figures=[replace(figure, svg=next(small)) for figure in s.figures]) for s in found], glyphs


def _numbers(file: Path, words: pd.DataFrame) -> tuple[str, bool]:
    """The data of a table as CSV, and whether it is the words alone: the numbers behind them are too many for a page,
    or there are none."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    short = not text or len(text) > LINKED_MOST
    return (words.to_csv(index=False) if short else text), short and bool(text)


def prose(text: str) -> Markup:
    """A sentence as HTML: escaped, with what stands between backticks as code, as Markdown shows it."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def cell(text: object) -> Markup:
    """A table's cell: behind an estimate its interval and n, small, for a line of their own."""
    parts = re.fullmatch(r"([\d\u2212][^\s]*%?) ([\[(\u00b1].*)", str(text))
    return Markup("{} <small>{}</small>").format(*parts.groups()) if parts else escape(text)


def breakable(name: object) -> Markup:
    """A measure's name that may break behind an underscore."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def data_link(csv: str) -> str:
    """Text as the address of a file to download; commas stay, since a table has more of them than of anything else."""
    return "data:text/csv;charset=utf-8," + quote(csv, safe=",;:/()[]=+*!?@$")
