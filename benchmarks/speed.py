"""An update of ours beside what people would use instead, in one run: `make bench`, under ten minutes on an idle core.

    python -m benchmarks.speed                     print the table; exit 1 where a row fell by a fifth
    python -m benchmarks.speed --write             also write benchmarks/results/speed.csv and docs/benchmarks.md

Each row: one process, one thread, updates in turn and in changing order, CPU time, the least of n. A ratio is the
first peer's time over ours a replicate, so more is better; `floor` is an update's time over that which the
multiplications of a plain loop take at the speed of this machine's matrix product.
"""

from __future__ import annotations

import argparse
import math
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers import network, peers
from models.methods.method import build
from models.testing import tiny
from models.training.step import init_state, train_step
from study.run.safeguards import keep_freed_memory

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks/results/speed.csv", ROOT / "docs/benchmarks.md"
STEPS, DELTA, KEPT = 20, 0.1, 0.8
PASSES = 2 * STEPS + 6  # of a batch: each step forward and back to x; data and particles forward, back to x and weights
UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Work:
    """What an update is of. goals: of the ratio, by replicates trained at once."""

    name: str
    shape: tuple[int, ...]
    batch: int
    width: int
    goals: dict[int, float]
    seconds: float  # for this work


WORKS = (
    Work("MLP, batch 128", (2,), 128, 16, {1: 2.0, 8: 3.5, 16: 3.5}, 25),
    Work("MLP, batch 32", (2,), 32, 16, {1: 3.0, 8: 7.0, 16: 9.0}, 25),
    Work("1 x 8 x 8, width 8", (1, 8, 8), 64, 8, {1: 1.4, 7: 2.5}, 30),
    Work("1 x 28 x 28, width 32", (1, 28, 28), 64, 32, {1: 1.45, 4: 1.45}, 90),
    Work("3 x 32 x 32, width 32", (3, 32, 32), 64, 32, {1: 1.35, 4: 1.35}, 120),
)


@dataclass(frozen=True)
class Row:
    """One line of the table. Times in ms of CPU."""

    work: str
    what: str
    ms: float
    ratio: float  # to the first peer, a replicate
    goal: float | None
    floor: float | None
    n: int


def ours(work: Work, replicates: int, method: str = "kl", device: torch.device | str = "cpu",
         **knobs: Any) -> Callable[[], Any]:
    """An update of so many replicates at once."""
    data = tiny.data(work.shape, 2048)
    made = build(method, data, batch_size=work.batch, width=work.width, mcmc_steps=STEPS, step_size=DELTA,
                 updates=10_000, **knobs)
    state = init_state(made, data, range(replicates), device)
    return lambda: train_step(made, data, state)


def candidates(work: Work) -> dict[str, tuple[Callable[[], Any], int]]:
    """Updates by name, and how many replicates each trains; the first peer first."""
    data = torch.tensor(tiny.data(work.shape, 2048).train)
    found = {name: (make(network(work.shape, work.width), data, work.batch, STEPS, DELTA), 1)
             for name, make in peers().items()}
    found |= {f"ours, R = {r}": (ours(work, r), r) for r in work.goals}
    return found | {"ours, jko": (ours(work, 1, "jko"), 1), "ours, bf16": (ours(work, 1, precision="bf16"), 1)}


def least(updates: dict[str, Callable[[], Any]], seconds: float) -> tuple[dict[str, float], int]:
    """The least CPU seconds of an update of each, taken in turn for so long, and the number of turns."""
    for update in updates.values():
        update()
    best, turns, order = dict.fromkeys(updates, math.inf), 0, list(updates)
    until = time.process_time() + seconds
    while turns < 3 or time.process_time() < until:
        random.Random(turns).shuffle(order)
        for name in order:
            began = time.process_time()
            updates[name]()
            best[name] = min(best[name], time.process_time() - began)
        turns += 1
    return best, turns


def product_speed() -> float:
    """Multiplications and additions a second of this machine's matrix product in fp32, on one thread."""
    a = torch.randn(1024, 1024)
    seconds, _ = least({"product": lambda: a @ a}, 0.5)
    return 2 * 1024**3 / seconds["product"]


def flops(work: Work) -> int:
    """Multiplications and additions of an update of one replicate."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(work.shape, work.width)(torch.zeros(work.batch, *work.shape))
    return PASSES * int(counter.get_total_flops())


def measured(work: Work, speed: float) -> list[Row]:
    """The rows of one work."""
    named = candidates(work)
    floor = flops(work) / speed
    seconds, turns = least({name: update for name, (update, _) in named.items()}, work.seconds)
    first = seconds[next(iter(named))]
    return [Row(work.name, name, 1e3 * seconds[name], first * count / seconds[name],
                work.goals.get(count) if name.startswith("ours, R") else None,
                None if name == "ours, bf16" else seconds[name] / count / floor, turns)
            for name, (_, count) in named.items()]


def fallen(rows: Sequence[Row], path: Path = RESULTS) -> list[str]:
    """Rows of ours whose ratio is a fifth below the one on record, in a sentence each."""
    if not path.exists():
        return []
    known = pd.read_csv(path).set_index(["work", "what"])["ratio"]
    return [f"{row.work}, {row.what}: ratio {row.ratio:.2f}, {known[row.work, row.what]:.2f} on record"
            for row in rows if row.what.startswith("ours") and (row.work, row.what) in known.index
            and row.ratio < KEPT * known[row.work, row.what]]


def machine() -> str:
    """The CPU, and its instructions that matter."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "CPU")
    return f"{name} ({', '.join(unit for unit in UNITS if unit in info.split()) or platform.machine()})"


def write(name: str, about: str, shown: str, page: Path = PAGE) -> None:
    """Put a table into a page of docs/, at its place."""
    head, _, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, _, tail = rest.partition("<!-- end -->\n")
    when = f"{date.today().isoformat()}, {machine()}, torch {torch.__version__}, {about}."
    page.write_text(f"{head}<!-- {name} -->\n{when}\n\n{shown}\n<!-- end -->\n{tail}", encoding="utf-8")


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    def goal(row: Row) -> str:
        return "" if row.goal is None else f"{row.goal:g}" + (", missed" if round(row.ratio, 2) < row.goal else "")

    shown = [{"work": row.work, "update": row.what, "ms": f"{row.ms:.2f}", "ratio": f"{row.ratio:.2f}",
              "goal": goal(row), "times the floor": "" if row.floor is None else f"{row.floor:.1f}", "n": row.n}
             for row in rows]
    return str(pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the figures, and put them into docs/benchmarks.md")
    parser.add_argument("--seconds", type=float, default=1.0, help="factor of the time each work is given")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    speed, rows = product_speed(), []
    for work in WORKS:
        print(f"{work.name} ...", file=sys.stderr, flush=True)
        rows += measured(Work(**vars(work) | {"seconds": work.seconds * options.seconds}), speed)
    print(table(rows))
    lost = fallen(rows)
    if options.write:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame([asdict(row) for row in rows]).round(3).to_csv(RESULTS, index=False)
        write("speed", f"{speed / 1e9:.0f} GFLOP/s in fp32", table(rows))
    for line in lost:
        print(f"fell by a fifth: {line}", file=sys.stderr)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
