"""What measuring costs beside training: CPU milliseconds of an update, of an evaluation, and of their parts. A minute.

    python -m benchmarks.measures_cost            print them
    python -m benchmarks.measures_cost --write    also put them into docs/metrics/stability.md

Four replicates, T = 20, `batch_size` 64, width 16. In one process and thread each part's calls are timed while kl and
jko are trained and measured as a unit is.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch

from benchmarks.speed import ROOT, write
from models.data.load import load
from models.measures import evaluation
from models.measures.evaluation import Evaluator
from models.measures.sample_metrics import SampleMetrics
from models.methods.method import build
from models.training import step

PAGE = ROOT / "docs/metrics/stability.md"
CASES = (("digits", "kl", 60), ("digits", "jko", 60), ("gaussians8", "kl", 300), ("gaussians8", "jko", 300))
SEEDS = range(4)
POINTS = 6  # evaluations of a case
RULE = ("an update: the divergence rule", "an update: what it records, the chain's own aside")
PARTS: dict[str, tuple[tuple[Any, str], ...]] = {  # of a unit, in words -> the functions that do it
    "an update": ((step, "train_step"),),
    RULE[0]: ((step, "observe"), (step, "_norms")),
    RULE[1]: ((step, "_info"),),
    "an evaluation": ((Evaluator, "point"),),
    "an evaluation: `kappa`": ((evaluation, "_kappa"),),
    "an evaluation: `response_gap`, `update_snr`": ((Evaluator, "_signals"),),
    "an evaluation: quality": ((SampleMetrics, "__call__"),),
    "the last evaluation": ((Evaluator, "final"),),
    "the last evaluation: its long run": ((Evaluator, "_longer"), (evaluation, "told")),
    "the last evaluation: all measures": ((SampleMetrics, "all"),)}


@contextmanager
def timed() -> Iterator[dict[str, list[float]]]:
    """Part -> CPU seconds of each of its calls."""
    spent: dict[str, list[float]] = defaultdict(list)

    def clocked(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def inner(*given: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return call(*given, **named)
            finally:
                spent[part].append(time.process_time() - began)

        return inner

    with ExitStack() as stack:
        for part, functions in PARTS.items():
            for owner, name in functions:
                stack.enter_context(mock.patch.object(owner, name, clocked(part, getattr(owner, name))))
        yield spent


def cost(name: str, kind: str, updates: int) -> dict[str, float]:
    """Part -> CPU seconds of it in one update or evaluation."""
    data = load(name)
    method = build(kind, data, width=16, batch_size=64, mcmc_steps=20, updates=updates)
    state, judge = step.init_state(method, data, SEEDS), Evaluator(method, data)
    judge.point(step.train_step(method, data, state)[0], [])  # warm
    with timed() as spent:
        for some in np.array_split(np.arange(1, updates), POINTS):
            infos = [step.train_step(method, data, state)[1] for _ in some]
            judge.point(state, infos)
    with timed() as last:
        judge.final(state)
    if not state.alive.all():
        raise SystemExit(f"a replicate of {kind} on {name} diverged: the others would look cheap")
    wholes = {"an update": (spent, updates - 1), "an evaluation": (spent, POINTS), "the last evaluation": (last, 1)}
    return {part: sum(of[part]) / n for part in PARTS for of, n in [wholes[part.partition(":")[0]]]}


def table(found: pd.DataFrame) -> str:
    """Milliseconds, and of parts the share of an update, in per cent, or how many updates they take as long as."""
    def said(part: str, seconds: float, update: float) -> str:
        share = f", {100 * seconds / update:.1f} %" if part in RULE else f", {seconds / update:.2f}"
        return f"{1e3 * seconds:.1f} ms" + ("" if part == "an update" else share)

    shown = {case: [said(part, spent[part], spent["an update"]) for part in found.index]
             for case, spent in found.items()}
    return str(pd.DataFrame({"what": found.index, **shown}).to_markdown(index=False, disable_numparse=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/metrics/stability.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    shown = table(pd.DataFrame({f"{name}, `{kind}`": cost(name, kind, updates) for name, kind, updates in CASES}))
    print(shown)
    if options.write:
        write("cost", "CPU time, one thread", shown, PAGE)


if __name__ == "__main__":
    main()
