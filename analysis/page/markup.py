"""Text of a study (names, words) as LaTeX and as Markdown, where it must stay text."""

from __future__ import annotations

import re
from typing import Any

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"{\ttfamily\char34}", "`": r"\textasciigrave{}",
    "[": "{[}",  # after \\ it would open an optional argument
    "*": "{*}",  # and so would this
    "\u2212": r"\ensuremath{-}", "\u00b1": r"\ensuremath{\pm}", "\u00d7": r"\ensuremath{\times}",
    "\u2264": r"\ensuremath{\leq}", "\u2265": r"\ensuremath{\geq}", "\u221e": r"\ensuremath{\infty}",
    "\u00b2": r"\ensuremath{^2}", "\u2013": "--", "\u2014": "---", "\u2026": r"\ldots{}", "\u00a0": "~",
    "\u2019": "'", "\u2018": r"\textquoteleft{}", "\u201c": "``", "\u201d": "''", "\u00b7": r"\ensuremath{\cdot}",
    **{letter: rf"\ensuremath{{\{name}}}" for letter, name in zip(
        "\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8\u03ba\u03bb\u03bc\u03bd\u03be\u03c0\u03c1\u03c3\u03c4\u03c6"
        "\u03c7\u03c8\u03c9\u0394\u03a3\u03a9",
        "alpha beta gamma delta varepsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi omega "
        "Delta Sigma Omega".split(), strict=True)}}
_LETTERS = re.compile("[ -~\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u00ff]")  # ASCII, and Latin-1 letters, which LaTeX knows


def latex_text(value: Any) -> str:
    """`value` for plain pdflatex: what it cannot print becomes its code point (U+4E2D)."""
    text = re.sub(r"\s+", " ", str(value))
    return "".join(map(_latex_letter, text.replace("--", "-\u200b-"))).replace("-U+200B-", "-{}-")


def _latex_letter(letter: str) -> str:
    if letter in _LATEX:
        return _LATEX[letter]
    return letter if _LETTERS.match(letter) else f"U+{ord(letter):04X}"


def markdown_text(value: Any) -> str:
    """`value` in a cell of a Markdown table."""
    return markdown_prose(re.sub(r"([\\`*|~])", r"\\\1", str(value)))


def markdown_prose(value: Any) -> str:
    """A sentence as Markdown: what stands between backticks stays code; no name in it is HTML or a link."""
    text = re.sub(r"\s+", " ", str(value)).replace("&", "&amp;").replace("<", "&lt;")
    return text.replace("](", "]\\(")
