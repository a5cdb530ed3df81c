"""Hooks of mkdocs.yml: pages from outside of docs/, links to them, a study's tables and figures under its findings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md",
           "models/EQUATIONS.md": "equations.md"}
LINK = re.compile(r"^```.*?^```|\]\((?!\w+:|#)([^)#\s]+)", re.DOTALL | re.MULTILINE)  # and blocks of code, left alone
LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//|"
                    r"<link\b[^>]*\brel=[\"']?(?:stylesheet|icon|preload|preconnect)[^>]*\bhref=[\"']?(?:https?:)?//")


def on_files(files: Files, config: Any) -> Files:
    """README and the others become pages."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """In the repository links go by the folders there; on the site by its own."""
    source = Path(page.file.abs_src_path)
    here = source.parent.relative_to(ROOT)

    def moved(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        target = os.path.normpath(here / found[1])
        on_site = OUTSIDE.get(target) or os.path.relpath(target, "docs")
        return f"]({os.path.relpath(on_site, os.path.dirname(page.file.src_uri) or '.')}"

    return LINK.sub(moved, markdown + (_shown(source.parent) if source.name == "findings.md" else ""))


def _shown(folder: Path) -> str:
    """The figures and tables of a study's report."""
    tables = [f"<details markdown><summary>{path.stem}</summary>\n\n{path.read_text(encoding='utf-8')}\n</details>\n"
              for path in sorted(folder.glob("tables/*.md"))]
    figures = [f"![{path.stem}](figures/{path.name}){{ loading=lazy }}\n"
               for path in sorted(folder.glob("figures/*.png"))]
    return "\n".join(["", "## Tables", "", *tables, "## Figures", "", *figures])


def on_post_page(output: str, page: Page, config: Any) -> str:
    """Who reads behind a firewall gets every page whole."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri}: loads from the net: {found[0]}")
    return output
