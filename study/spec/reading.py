"""Reading one value of a spec at a time: its kind, its bounds, its nearest neighbour. Problems are collected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from models.registry import FindError, find
from study.spec.places import unknown
from study.spec.problems import MAX_PROBLEMS, Path, dotted, nearest, suggestion
from study.spec.written import as_list, as_number, unspaced
from study.spec.yaml_text import Document


class TooManyError(Exception):
    """More problems than anybody reads."""


class Reader:
    """A spec's plain value and the problems found in it. A bad value is reported and stood in for by a good one.

    needs_data: whether images on disk must be there.
    """

    def __init__(self, document: Document, needs_data: bool = True) -> None:
        self.raw: dict[str, Any] = document.value
        self.needs_data = needs_data
        self.in_quotes = document.in_quotes
        self._problems = dict.fromkeys(document.problems)

    @property
    def problems(self) -> list[tuple[Path, str]]:
        """In the order in which they were found."""
        return list(self._problems)

    def report(self, path: Path, message: str) -> None:
        """Note a problem, once. Raises TooManyError after MAX_PROBLEMS: what is so wrong is no study."""
        self._problems[path, message] = None
        if len(self._problems) >= MAX_PROBLEMS:
            raise TooManyError

    def mapping(self, path: Path, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """The mapping at `path`, {} where there is none; with `keys`, others are reported."""
        value: Any = self.raw
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, dict):
            self.report(path, f"found {value!r}, expected a mapping{unspaced(value)}")
        if not isinstance(value, dict):
            return {}
        if keys is not None:
            known = list(keys)
            for key in value:
                if key not in known:
                    self.report((*path, key), unknown(key, known, section=dotted(path)))
        return value

    def whole(self, path: Path, key: str, default: int, low: int, high: int | None = None) -> int:
        """A whole number, low <= value <= high."""
        value = self.mapping(path).get(key)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= (high or value):
            return value
        limit = f" and <= {high}" if high else ""
        self.report((*path, key), f"found {value!r}, expected a whole number >= {low}{limit}"
                                  f"{as_number(value, whole=True)}")
        return default

    def word(self, path: Path, value: Any, words: tuple[str, ...], *more: str, noun: str = "") -> str:
        """One of `words`; `more` are further answers to name in the message."""
        if isinstance(value, str) and value in words:
            return value
        if noun:
            self.unknown(path, value, words, noun)
        else:
            near = nearest(value, words)
            self.report(path, f"found {value!r}, expected one of {', '.join((*words, *more))}"
                        + (f"; did you mean {near}?" if near else ""))
        return words[0]

    def find(self, path: Path, kind: str, name: str) -> Any:
        """What lies at `package.module:Name`; None, and a problem, where there is nothing of that kind."""
        try:
            return find(kind, name)
        except FindError as problem:
            self.report(path, str(problem))
            return None

    def unknown(self, path: Path, value: Any, words: Iterable[str], noun: str, context: str = "",
                may_be_list: bool = False) -> None:
        """Report a name that stands for nothing. may_be_list: whether several names may stand here, in a list."""
        words = list(words)
        hint = (may_be_list and as_list(value, words)) or suggestion(value, words)
        self.report(path, f"unknown {noun} {value!r}{context}; {hint}{self.in_quotes(path, words)}")
