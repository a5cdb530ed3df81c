"""SVGs for the page: of the page's theme, with ids of their own, small."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from analysis.page.named import Mark
from analysis.panels.palette import THEME

_GLYPH = re.compile(r'<path id="[^"]*-(?P<glyph>[A-Za-z]+(?:-[A-Za-z]+)*-[0-9a-f]+)" (?P<drawn>d="[^"]*" '
                    r'transform="scale\([^"]*\)")/>')
_PLACED = re.compile(r'( (?:d|x|y|width|height|points)="[^"]*"|translate\([^)]*\))')
_STYLE = re.compile(r'<defs><style type="text/css">.*?</style></defs>', re.DOTALL)


def themed(svg: str) -> str:
    """The SVG with every colour of the theme replaced by its CSS variable."""
    for name, (light, _) in THEME.items():
        svg = svg.replace(light, f"var(--{name})")
    return svg


def inline(svg: str, name: str, alt: str, marks: Mapping[str, Sequence[Mark]] | None = None) -> Markup:
    """An SVG for an HTML page: ids of its own, the theme's variables for colours, an accessible name. marks: of the
    groups with these ids, a mark each."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    marks = marks or {}
    used = {*re.findall(r'(?:url\(|href=")#([^")]+)', body), *marks}
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'((?:xlink:)?href=")#', rf"\1#{name}-", body).replace("url(#", f"url(#{name}-")
    width = float(re.search(r'width="([\d.]+)pt"', body).group(1))  # type: ignore[union-attr]
    label = Markup.escape(alt)
    head = f'<svg role="img" aria-label="{label}" style="--natural:{width * 4 / 3:.0f}px" '
    body = re.sub(r'(<svg[^>]*?) width="[\d.]+pt" height="[\d.]+pt"', r"\1", body, count=1)
    body = themed(body.replace("<svg ", head, 1))
    for gid, own in marks.items():
        body = _titled(body, f"{name}-{gid}", own)
    return Markup(body)


def _titled(svg: str, group: str, marks: Sequence[Mark]) -> str:
    """The SVG with a title in each mark of this group, as browsers show it; and its run, for who clicks."""
    start = svg.index(f'<g id="{group}">')
    end = re.compile(r"</g>\s*</g>").search(svg, start).end()  # type: ignore[union-attr]
    left = iter(marks)

    def titled(use: re.Match[str]) -> str:
        mark = next(left)
        run = f' data-run="{Markup.escape(mark.run)}"' if mark.run else ""
        return f"<use {use[1]}{run}><title>{Markup.escape(mark.text)}</title></use>"

    body, n = re.subn(r"<use ([^>]*)/>", titled, svg[start:end])
    assert n == len(marks), f"{group}: {n} marks drawn, {len(marks)} named"
    return svg[:start] + body.replace(f'<g id="{group}">', "<g>", 1) + svg[end:]


def compacted(svgs: Sequence[Markup]) -> tuple[list[Markup], Markup]:
    """The SVGs as they stand on one page, and the definitions of the glyphs that they share.

    Matplotlib defines each glyph in each figure, with six decimals and one line per segment: half of a page's bytes.
    What it says of joins and caps in every figure the page's own style says once.
    """
    shared: dict[str, str] = {}  # what is drawn -> the id that stands for it
    return [_one(str(svg), shared) for svg in svgs], Markup(
        "".join(f'<path id="{name}" {drawn}/>' for drawn, name in shared.items()))


def _one(svg: str, shared: dict[str, str]) -> Markup:
    svg = re.sub(r"\s+<", "<", re.sub(r">\s+", ">", svg))
    svg = _PLACED.sub(lambda m: _rounded(m[1]), svg)
    names = {}
    for glyph in _GLYPH.finditer(svg):
        full = glyph[0].split('"')[1]
        names[full] = shared.setdefault(glyph["drawn"], f"g{len(shared)}")
    svg = _GLYPH.sub("", svg)
    svg = re.sub(r'<use xlink:href="#([^"]+)"', lambda m: f'<use href="#{names.get(m[1], m[1])}"', svg)
    return Markup(re.sub(r"<defs></defs>|<g/>", "", _STYLE.sub("", svg)))


def _rounded(text: str) -> str:
    """Numbers with two decimals, without the line breaks of a path: 0.01 pt is less than a screen shows."""
    text = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{round(float(m[0]), 2) + 0.0:.2f}".rstrip("0").rstrip("."), text)
    return re.sub(r"\s*\n\s*", "", text)
