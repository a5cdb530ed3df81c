"""The report's files: tables as CSV, Markdown and LaTeX, the findings as Markdown, and one HTML page with all."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from analysis import about
from analysis.compact import compacted
from analysis.findings import RULE, findings, missing
from analysis.load import Store, Study
from analysis.markup import markdown_prose
from analysis.origin import commands, documents, origin
from analysis.palette import THEME
from analysis.sections import Section, sections
from analysis.wording import slug

FOLDED_FROM = 15  # rows; a longer table is shown when asked for


def write(study: Study, store: Store, out: Path, refresh: int | None = None, *, parts: Sequence[Study] = (),
          given: Sequence[str] = ()) -> Path:
    """Writes everything under `out`; returns the page's path.

    refresh: seconds after which a browser loads it again. parts: the studies that `study` pools. given: words of the
    command line beside the studies' names, so that the page can say how to write it again.
    """
    said = findings(study)
    origins = [origin(part, store, out / "cache") for part in parts or [study]]
    shown, glyphs = _shown(sections(study, store, out))
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"prose": prose, "cell": cell, "breakable": breakable, "slug": slug, "data_link": data_link}
    page = env.get_template("template.html").render(
        study=study,
        refresh=refresh,
        theme=THEME,
        findings=said,
        missing=missing(study),
        rule=RULE,
        facts=about.facts(study),
        sections=shown,
        glyphs=glyphs,
        folded_from=FOLDED_FROM,
        numbers=lambda name, frame: _numbers(out / "tables" / f"{name}.csv") or frame.to_csv(index=False),
        method=about.method(study, origins),
        commands=commands(origins, given),
        documents=[(title if len(origins) == 1 else f"{of.study.name}: {title}", text)
                   for of in origins for title, text in documents(of)],
    )
    (out / ".index.html").write_text(page, encoding="utf-8")
    os.replace(out / ".index.html", out / "index.html")  # a browser that loads it again never sees half of it
    lines = [f"# {markdown_prose(study.name)}", "", markdown_prose(study.plan.get("question", "")), "",
             *(f"- {markdown_prose(f.text)}" for f in said)]
    (out / "findings.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out / "index.html"


def _shown(found: Sequence[Section]) -> tuple[list[Section], Markup]:
    """The sections with their figures made small, and the glyphs that these share."""
    svgs, glyphs = compacted([panel.svg for section in found for panel in section.panels])
    small = iter(svgs)
    return [replace(s, panels=[replace(panel, svg=next(small)) for panel in s.panels]) for s in found], glyphs


def _numbers(file: Path) -> str:
    """The numbers behind a table of words, or "" where there are none."""
    return file.read_text(encoding="utf-8") if file.exists() else ""


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
