"""A value of the wrong type, as people write it -> the end of a message that says how it is written right."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

UNSPACED = re.compile(r"(?:- +)?([A-Za-z_][\w.+-]*)(?::(?!//)|\s*=\s*)([^\s=].*)", re.DOTALL)
PERCENT = re.compile(r"([\d.]+) ?%")
GROUPED = re.compile(r"[1-9]\d{0,2}([ ,'_]\d{3})+")
POINTED = re.compile(r"\d+,\d+")
SEVERAL = re.compile(r"[-+.\deE]+([ ,;]+[-+.\deE]+)+")


def unspaced(text: Any) -> str:
    """Of `key:value` and `key = value`, which YAML takes for one text: how to write a key and its value."""
    found = UNSPACED.match(text) if isinstance(text, str) else None
    return f"; write a colon and a space: {found[1]}: {found[2].splitlines()[0]}" if found else ""


def stray_comma(key: Any) -> str:
    """Of a key that is a number, as `0,5` makes in braces: what a comma does there."""
    is_number = isinstance(key, str) and _number(key) is not None
    return ": a comma ends a value; write a decimal with a point, and a list in brackets" if is_number else ""


def as_list(value: Any, words: Iterable[str]) -> str:
    """Of several of these words in one text: how to write a list of them."""
    parts = re.split("[ ,;]+", value) if isinstance(value, str) else []
    return f"write a list in brackets: [{', '.join(parts)}]" if len(parts) > 1 and set(parts) <= {*words} else ""


def as_number(value: Any, whole: bool = False) -> str:
    """Of what is no number, or no whole one, and was meant as such: how to write it."""
    if whole and isinstance(value, float) and value.is_integer():
        return f"; write {value:.0f}" if abs(value) < 2**53 else ""
    if not isinstance(value, str):
        return ""
    text = value.strip()
    if (percent := PERCENT.fullmatch(text)) and (number := _number(percent[1])) is not None:
        return "" if whole else f"; write {number / 100:g}"
    if (number := _number(text)) is not None:
        return "" if whole and not number.is_integer() else f"; write it without quotes: {text}"
    if GROUPED.fullmatch(text):
        return f"; write {re.sub(r'[^0-9]', '', text)}"
    if POINTED.fullmatch(text):
        return f"; write a decimal with a point, {text.replace(',', '.')}, and a list in brackets, [{text}]"
    if SEVERAL.fullmatch(text) and all(_number(part) is not None for part in re.split("[ ,;]+", text)):
        return f"; write a list in brackets: [{', '.join(re.split('[ ,;]+', text))}]"
    return ""


def _number(text: str) -> float | None:
    try:
        number = float(text) if text.isascii() else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
