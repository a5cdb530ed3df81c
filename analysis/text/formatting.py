"""Numbers as words: three significant digits, intervals with as many digits as they deserve, names fit for a file."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from analysis.stats.inference import Interval

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
BESIDE = {"long": "longer chains", "raw": "weights that train, noise and all"}  # by the end of a measure's name
SHORT = 3  # letters of a measure's family that is an abbreviation: KID, FD, GPU
LONGEST = 28  # letters of an arm's name in a figure, where two of them have room in one row of a key
MOST_DECIMALS, SMALL = 6, 1e-4  # more decimals than these, of numbers below: `1.0e-07`


def number(x: float | None, digits: int = 3) -> str:
    """`x` with that many significant digits; a dash where there is none."""
    if x is None or math.isnan(x):
        return DASH
    if math.isinf(x):
        return "no limit"
    if x == 0:
        return "0"
    size = math.floor(math.log10(abs(x)))
    text = f"{x:.{digits - 1}e}" if size < -4 or size > 6 else f"{x:,.{max(0, digits - 1 - size)}f}"
    return text.replace("-", MINUS)


def interval(i: Interval) -> str:
    """`0.052 [0.041, 0.063]`: the bounds decide how many decimals all three have; small numbers as powers of ten."""
    half = (i.high - i.low) / 2
    if math.isnan(half) or half <= 1e-9 * abs(i.estimate):
        return number(i.estimate)
    decimals = max(0, 1 - math.floor(math.log10(half)))
    if round(i.estimate, decimals) == 0 != i.estimate and abs(i.estimate) >= 10**-MOST_DECIMALS:
        decimals = max(decimals, -math.floor(math.log10(abs(i.estimate))))  # no "better by 0.000"
    form = f",.{decimals}f"
    largest = max(abs(v) for v in (i.estimate, i.low, i.high))
    if decimals > MOST_DECIMALS and largest < SMALL:
        form = f".{max(1, decimals + math.floor(math.log10(largest)))}e"
    estimate, low, high = (f"{v + 0.0:{form}}".replace("-", MINUS) for v in (i.estimate, i.low, i.high))
    return f"{estimate} [{low}, {high}]"


def plus_minus(mean: float, sd: float) -> str:
    """`0.001 \u00b1 0.015`: two digits of the standard deviation decide the decimals of both."""
    if not sd > 0:
        return f"{number(mean, 2)} \N{PLUS-MINUS SIGN} {number(sd, 2)}"
    decimals = max(0, 1 - math.floor(math.log10(sd)))
    return " \N{PLUS-MINUS SIGN} ".join(f"{v + 0.0:,.{decimals}f}".replace("-", MINUS) for v in (mean, sd))


def share(count: int, n: int) -> str:
    """`2/6`, the way every cell states how many replicates diverged."""
    return f"{count}/{n}"


def bounds(i: Interval) -> str:
    """`[0.10, 0.70]`, a share's interval."""
    return f"[{i.low + 0.0:.2f}, {i.high:.2f}]"


def bounded(x: float | None, low: float | None, high: float | None) -> str:
    """`0.033 [0.032, 0.034]`: a predicted limit, with its bounds where it is finite and they are known."""
    known = x is not None and math.isfinite(x) and not any(v is None or math.isnan(v) for v in (low, high))
    return number(x, 2) + (f" [{number(low, 2)}, {number(high, 2)}]" if known else "")


def count(n: int, noun: str) -> str:
    """`1 replicate`, `6 replicates`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def listed(items: Sequence[str], most: int | None = 6) -> str:
    """`a, b and c`; what goes beyond `most` items is counted, and nothing where it is None."""
    most = len(items) if most is None else most
    shown = list(items[:most])
    if len(items) > most:
        return ", ".join(shown) + f" and {len(items) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def brief(names: Sequence[str], most: int = LONGEST) -> dict[str, str]:
    """Each name with at most about `most` letters, an ellipsis in the middle of a longer one; what would be the same
    then is numbered, so that different names stay different."""
    ends = [n if len(n) <= most else f"{n[:(most - 1) // 2]}{ELLIPSIS}{n[-(most // 2):]}" for n in names]
    same = {end: [n for n, e in zip(names, ends, strict=True) if e == end] for end in ends}
    return {n: e if len(same[e]) == 1 else f"{e} #{same[e].index(n) + 1}" for n, e in zip(names, ends, strict=True)}


def size_of(x: float) -> str:
    """A cost in words that fit beside others: `874`, `21,300`, `21.3 million`."""
    return number(x) if x < 1e6 else f"{x / 1e6:.3g} million" if x < 1e9 else f"{x / 1e9:,.3g} billion"


def spoken(column: Any) -> str:
    """A column's name for people: `kid_clf64_64_long` is `KID (clf64, n = 64, longer chains)`, `…_raw` of the weights
    that train, as their chain leaves them."""
    return re.sub(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", lambda found: _spoken(found[0].split("_")), str(column))


def _spoken(parts: list[str]) -> str:
    *family, last = parts
    long = [BESIDE[last]] if last in BESIDE else []
    words = family if long else parts
    n = [f"n = {words[-1]}"] if words[-1].isdigit() else []
    words = words[:-1] if n else words
    features = [w for w in words[1:] if re.search(r"\d", w)]
    said = " ".join(w.upper() if len(w) <= SHORT else w for w in words if w not in features)
    beside = ", ".join([*features, *n, *long])
    return f"{said} ({beside})" if beside else said


def slug(name: str) -> str:
    """A name that is safe in a file name and an HTML id."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "x"
