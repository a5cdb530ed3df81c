"""The report's files: tables as CSV, Markdown and LaTeX, the findings as Markdown, and one HTML page with all."""

from __future__ import annotations

import os
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from analysis import about
from analysis.findings import RULE, findings, missing
from analysis.load import Store, Study
from analysis.markup import markdown_prose
from analysis.palette import THEME
from analysis.sections import sections


def write(study: Study, store: Store, out: Path, refresh: int | None = None) -> Path:
    """Writes everything under `out`; returns the page's path. refresh: seconds after which a browser loads it again."""
    said = findings(study)
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["prose"] = prose
    page = env.get_template("template.html").render(
        study=study,
        refresh=refresh,
        theme=THEME,
        findings=said,
        missing=missing(study),
        rule=RULE,
        facts=about.facts(study),
        sections=sections(study, store, out),
        method=about.method(study),
        commands=about.commands(study),
    )
    (out / ".index.html").write_text(page, encoding="utf-8")
    os.replace(out / ".index.html", out / "index.html")  # a browser that loads it again never sees half of it
    lines = [f"# {markdown_prose(study.name)}", "", markdown_prose(study.plan.get("question", "")), "",
             *(f"- {markdown_prose(f.text)}" for f in said)]
    (out / "findings.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return out / "index.html"


def prose(text: str) -> Markup:
    """A sentence as HTML: escaped, with what stands between backticks as code, as Markdown shows it."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))
