"""The driver is killed (SIGKILL, itself alone) at some moment of a launch; the same command then finishes the study.

    python -m tests.faults.kills 20      # or: make faults

Prints a row a moment. Exit code 1 where a study holds anything else than an undisturbed one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from tests.faults.holdings import Holdings, differences, doubled, lost
from tests.faults.tiny import LAUNCHER, SPEC, UNITS, environment, held_here
from tests.study.launching import done, launch

SEED = 3
IN_A_ROW = 3  # kills of one study, in every fourth study
TOO_LATE = "after its end"  # the launch was quicker than the undisturbed one: this moment counts as no kill
OnLine = Callable[[int, str, int], None]
HEADER = ("moment", "where it hit", "done", "begun", "resumed", "run twice", "lost", "doubled", "relaunch s", "result")


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after the start, or right after the so-many-th unit's line."""

    seconds: float | None = None
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s" if self.line is None else f"line [{self.line}/"


@dataclass
class Hit:
    """What one kill met. done: finished units, by manifest and its time; begun, resumed: units that had been begun, and
    of these those with a checkpoint."""

    moment: Moment
    where: str
    done: dict[Path, int]
    begun: int
    resumed: int


@dataclass
class Outcome:
    """What became of one study. twice: finished units that a relaunch ran again."""

    hits: list[Hit]
    lines: list[str]
    code: int = -1
    seconds: float = 0.0  # of the last relaunch
    twice: int = 0
    lost: int = UNITS
    doubled: int = 0
    problems: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A row for each kill; what the study came to stands in the last."""
        for hit in self.hits:
            end = hit is self.hits[-1]
            yield (str(hit.moment), hit.where, *map(str, (len(hit.done), hit.begun, hit.resumed)),
                   *((str(self.twice), str(self.lost), str(self.doubled), f"{self.seconds:.1f}",
                      "as undisturbed" if not self.problems else "differs") if end else ("", "", "", "", "then")))


def moments(count: int, duration: float, rng: np.random.Generator) -> list[list[Moment]]:
    """A list for each study: two of three kills at any moment of the launch, the third right after a line was printed.
    Every fourth study is killed several times, in the first half: what is left to do gets less."""
    found: list[list[Moment]] = []
    made = 0
    while made < count:
        size = min(IN_A_ROW if len(found) % 4 == 3 else 1, count - made)
        study = []
        for _ in range(size):
            seconds, line = float(rng.uniform(0, duration / min(size, 2))), int(rng.integers(1, UNITS // size))
            study.append(Moment(line=line) if made % 3 == 2 else Moment(seconds=seconds))
            made += 1
        found.append(study)
    return found


def undisturbed() -> tuple[Holdings, float]:
    """The study in an empty working directory, left alone: what it holds, and the seconds that it took."""
    Path("tiny.yaml").write_text(SPEC)
    begun = time.monotonic()
    code, lines = launch(module=LAUNCHER, environment=environment())
    seconds = time.monotonic() - begun
    assert code == 0, "\n".join(lines)
    return held_here(), seconds


def disturbed(kills: Sequence[Moment], calm: Holdings, on_line: OnLine = lambda launch, line, pid: None,
              environment: Mapping[str, str] = environment()) -> Outcome:
    """The study in an empty working directory, killed at each moment of one launch after the other, then finished.

    on_line(launch, line, pid) may interfere more.
    """
    Path("tiny.yaml").write_text(SPEC)
    outcome = Outcome([], [])
    for k, moment in enumerate(kills):
        hit, lines = killed(moment, partial(on_line, k), environment)
        outcome.hits.append(hit)
        outcome.lines += lines
    begun = time.monotonic()
    outcome.code, lines = launch(module=LAUNCHER, environment=environment, on_line=partial(on_line, len(kills)))
    outcome.seconds = time.monotonic() - begun
    outcome.lines += lines
    if outcome.code:
        outcome.problems += [f"exit code {outcome.code}", *lines]
        return outcome
    outcome.problems += [line for line in outcome.lines if "Traceback" in line]
    held = held_here()
    before = {path: stamp for hit in reversed(outcome.hits) for path, stamp in hit.done.items()}  # the earliest
    outcome.twice = sum(not path.exists() or path.stat().st_mtime_ns != stamp for path, stamp in before.items())
    outcome.problems += [f"{outcome.twice} finished units ran again"] if outcome.twice else []
    outcome.problems += differences(calm, held)
    outcome.lost, outcome.doubled = lost(calm, held), doubled(calm, held)
    return outcome


def killed(moment: Moment, on_line: Callable[[str, int], None],
           environment: Mapping[str, str]) -> tuple[Hit, list[str]]:
    """One launch that is killed; what it left at that moment, and what it had printed."""
    def kill(line: str, pid: int) -> None:
        on_line(line, pid)
        if moment.line is not None and line.startswith(f"[{moment.line}/"):
            os.kill(pid, signal.SIGKILL)

    code, lines = launch(module=LAUNCHER, environment=environment, on_line=kill, kill_after=moment.seconds)
    folder = Path.cwd()
    stamps = {path: path.stat().st_mtime_ns for path in done(folder)}
    open_units = [path.parent for path in folder.glob("runs/tiny/*/*/config.json")
                  if not (path.parent / "done.json").exists()]
    resumable = sum(any(unit.glob("checkpoint-*[0-9]")) for unit in open_units)
    where = TOO_LATE if code == 0 else phase(lines)
    return Hit(moment, where, stamps, len(open_units), resumable), lines


def phase(lines: Sequence[str]) -> str:
    """What a launch was at when these were its lines."""
    if not lines:
        return "before the plan"
    last = next((line for line in reversed(lines) if line.startswith("[")), None)
    if any(line.startswith("units of work:") for line in lines):
        return "summary"
    if last is None:
        return "start of Ray" if any("estimated cost" in line for line in lines) else "plan"
    return " ".join(last.split()[:2])


@contextlib.contextmanager
def working_directory() -> Iterator[Path]:
    """A new one, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder, contextlib.chdir(folder):
        yield Path(folder)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)


def main() -> int:
    """Run so many moments, print the table; 1 where anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=20)
    parser.add_argument("--seed", type=int, default=SEED, help="of the moments (default: %(default)s)")
    arguments = parser.parse_args()
    with working_directory():
        calm, duration = undisturbed()
    print(f"undisturbed: {duration:.1f} s, {len(calm.units)} units", flush=True)
    rows: list[tuple[str, ...]] = [HEADER]
    outcomes = []
    for study in moments(arguments.count, duration, np.random.default_rng(arguments.seed)):
        with working_directory():
            outcome = disturbed(study, calm)
        rows += outcome.rows()
        print(table(rows[-len(study):]), *outcome.problems, sep="\n", flush=True)
        outcomes.append(outcome)
    print(table(rows))
    hits = [hit for outcome in outcomes for hit in outcome.hits if hit.where != TOO_LATE]
    counts = {word: sum(getattr(outcome, word) for outcome in outcomes) for word in ("twice", "lost", "doubled")}
    print(f"{len(hits)} kills of {len(rows) - 1} moments, in {len(outcomes)} studies of {len(calm.units)} units: "
          f"{sum(hit.begun for hit in hits)} units interrupted, {counts['twice']} run twice, {counts['lost']} lost, "
          f"{counts['doubled']} doubled")
    return 1 if any(outcome.problems for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
