"""What is wrong with an input: one line a problem, all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_TEXT = 1000  # characters of a key or a message
MAX_PROBLEMS = 100  # that are named: what is so wrong is no study
Path = tuple[str | int, ...]  # where in a spec: ("design", "step_size", 2)


class SpecError(ValueError):
    """An input that cannot be used. `problems` are lines for people: `FILE:LINE: path.to.key: message`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[str, ...]]]:
        return SpecError, (self.problems,)


def dotted(path: Path) -> str:
    """("design", "step_size", 2) -> `design.step_size[2]`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def shortened(text: str) -> str:
    """A text that fits a message, its middle left out where it is long."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT // 2]} ... {text[-MAX_TEXT // 2:]}"


def nearest(word: object, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known word that `word` was probably meant to be, or None. likeness: from 0 to 1, how near it has to be."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=likeness)
    return by_lower[close[0]] if close else None


def suggestion(word: object, known: Iterable[str], noun: str = "expected one of") -> str:
    """The end of a message about an unknown word: its nearest neighbour, or all there are."""
    known = list(known)
    near = nearest(word, known)
    return f"did you mean {near}?" if near else f"{noun} {', '.join(known)}"
