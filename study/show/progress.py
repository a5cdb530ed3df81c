"""What a person sees while a study runs: one line a finished unit, and on a terminal a live line of counts below."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from study.schema.columns import DELTA_MED, DELTA_MIN

SILENCE = 60.0  # seconds


@dataclass(frozen=True)
class Outcome:
    """A finished unit of work, as the live view tells it. `value`: mean of the measure over surviving replicates."""

    phase: str
    arm: str
    knobs: str
    measure: str
    value: float | None
    replicates: int
    diverged: int
    seconds: float
    cost: float
    limits: Mapping[str, float | None] = field(default_factory=dict)  # the law's, with their errors; empty: silent
    pruned: bool = False
    kappa: float | None = None  # at the last evaluation, the mean of the survivors
    verdicts: str = ""  # of those that did not diverge, with their flags
    missed: Sequence[str] = ()  # constraints of its search
    giver: str = ""  # the arm whose settings it has, where it is another

    @property
    def where(self) -> str:
        """`jko step_size=0.12`; the arm alone where nothing else varies; `jko at kl's step_size=0.12`."""
        whose = f" at {self.giver}'s" if self.giver else ""
        return f"{self.arm}{whose} {self.knobs}".strip()

    def line(self) -> str:
        """`jko step_size=0.12 | kid 0.012 | 1/6 diverged | 5 stable; poor quality (2) | kappa 0.41 | limit 0.1..0.35
        (95 % 0.09..0.37) | 12 s`."""
        value = "no survivor" if self.value is None else f"{self.value:.4g}"
        seen = [f"{self.measure} {value}", f"{self.diverged}/{self.replicates} diverged"]
        seen += [self.verdicts] if self.verdicts else []
        parts = [self.where, *(["pruned"] if self.pruned else seen)]  # pruned is part of no rate
        if self.kappa is not None:
            parts.append(f"kappa {self.kappa:.2g}")
        if self.missed:
            parts.append(f"misses {' and '.join(self.missed)}")
        if self.limits:
            parts.append("limit " + band(self.limits))
        return " | ".join(parts if self.pruned else [*parts, duration(self.seconds)])


@dataclass
class _UnderWay:
    """A running unit: the share of it that is done, and since when; begun: at its worker's first word."""

    cost: float
    begun: tuple[float, float]
    now: tuple[float, float]

    @property
    def measured(self) -> tuple[float, float]:
        """(cost, seconds) between its worker's first word and its last; the start of a worker is no part of it."""
        return self.cost * (self.now[0] - self.begun[0]), self.now[1] - self.begun[1]


@dataclass
class Progress:
    """Counts and prints. `total`: planned units; `cost`: their estimated cost, in any unit, for the time left."""

    console: Console
    total: int = 0
    cost: float = 0.0
    quiet: bool = False
    done: int = 0
    running: int = 0
    lost: int = 0
    replicates: int = 0
    diverged: int = 0
    best: Outcome | None = None
    _under_way: dict[str, _UnderWay] = field(default_factory=dict)
    _said: float = field(default_factory=lambda: time.monotonic())  # when the last line was
    _spent: float = 0.0
    _timed: tuple[float, float] = (0.0, 0.0)  # cost and seconds of the units whose time is known
    _at_once: int = 1  # units that ran at once, at most
    _live: Live | None = None

    def __enter__(self) -> Progress:
        if self.console.is_terminal and not self.quiet:
            self._live = Live(self.text(), console=self.console, refresh_per_second=2, transient=True,
                              get_renderable=self.text)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def advanced(self, name: str, cost: float, share: float) -> None:
        """A running unit has done this share. Without a live view a line says so, where there was none for a minute."""
        now = share, time.monotonic()
        if name in self._under_way:
            self._under_way[name].now = now
        else:
            self._under_way[name] = _UnderWay(cost, now, now)
        if self._live is None and not self.quiet and now[1] - self._said >= SILENCE:
            self.say(f"[{self.done}/{self.total}] {self._running()}{self._rest()}")

    def left(self, name: str) -> None:
        """A unit runs no more."""
        self._under_way.pop(name, None)

    def _running(self) -> str:
        return ", ".join(f"{name} {one.now[0]:.0%}" for name, one in self._under_way.items())

    def _rest(self) -> str:
        left = None if self._live else self.seconds_left()  # the live line says it
        return "" if left is None or self.done >= self.total else f" | about {duration(left)} left"

    def finished(self, outcome: Outcome) -> None:
        """Count a unit and print its line."""
        self.done += 1
        self._spent += outcome.cost
        if outcome.seconds:
            self._timed = self._timed[0] + outcome.cost, self._timed[1] + outcome.seconds
        self._at_once = max(self._at_once, self.running + 1)  # this one has just stopped to count
        if not outcome.pruned:  # pruned is censored: no part of a rate
            self.replicates += outcome.replicates
            self.diverged += outcome.diverged
        if is_better(outcome, self.best):
            self.best = outcome
        if not self.quiet:
            self.say(f"[{self.done}/{self.total}] {outcome.phase} {outcome.line()}{self._rest()}")

    def expect(self, units: int, cost: float) -> None:
        """So many are still to come, of that cost: what was planned is known by now."""
        self.total, self.cost = self.done + self.lost + units, self._spent + cost

    def say(self, line: str) -> None:
        """One plain line, above the live view if there is one."""
        self._said = time.monotonic()
        self.console.print(Text(line), soft_wrap=True)

    def seconds_left(self) -> float | None:
        """Remaining cost at the rate of a unit, so many at once as have run; None before any has been measured."""
        measured = [self._timed, *(one.measured for one in self._under_way.values())]
        cost, seconds = sum(one[0] for one in measured), sum(one[1] for one in measured)
        if not cost:
            return None
        rest = self.cost - self._spent - sum(one.cost * one.now[0] for one in self._under_way.values())
        if rest <= 0 and self.done:  # what is confirmed was planned at a mean cost
            rest = max(0, self.total - self.done - self.lost) * self._spent / self.done
        return rest * seconds / cost / max(self._at_once, self.running)

    def text(self) -> Text:
        """The live line."""
        shares = ", ".join(f"{one.now[0]:.0%}" for one in self._under_way.values())
        parts = [f"{self.done}/{self.total} done", f"{self.running} running" + (f" ({shares})" if shares else ""),
                 f"{self.diverged}/{self.replicates} replicates diverged"]
        if self.lost:
            parts.append(f"{self.lost} lost")
        if self.best is not None:
            said = ": ".join(filter(None, (self.best.where, self.best.verdicts)))
            parts.append(f"best {self.best.value:.4g} ({said})")
        left = self.seconds_left()
        parts.append("time left unknown yet" if left is None else f"about {duration(left)} left")
        return Text(" | ".join(parts))


def is_better(new: Outcome, old: Outcome | None) -> bool:
    """Whether `new` may stand as best: it has a value, keeps its search's constraints, and at most half of its
    replicates diverged. Smaller is better, of every measure."""
    if new.value is None or new.pruned or new.missed or 2 * new.diverged > new.replicates:
        return False
    if old is None or old.value is None:
        return True
    return new.value < old.value


def span(low: float | None, high: float | None) -> str:
    """`0.10..0.35`; None and infinity read `none`."""
    shown = ["none" if x is None or math.isinf(x) else f"{x:.2g}" for x in (low, high)]
    return shown[0] if shown[0] == shown[1] else "..".join(shown)


def band(limits: Mapping[str, float | None]) -> str:
    """The law's limits from the smallest direction's to the median one's, and how far the 95 % bounds of the two reach:
    `0.10..0.35 (95 % 0.09..0.37)`; these are left out where they read the same, as in the plane, which has no error.
    """
    found = span(limits[DELTA_MIN[0]], limits[DELTA_MED[0]])
    bounds = span(limits[DELTA_MIN[1]], limits[DELTA_MED[2]])
    return found if bounds == found else f"{found} (95 % {bounds})"


def duration(seconds: float) -> str:
    """`8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
