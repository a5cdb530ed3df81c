"""What the stability measures cost beside training: `python -m benchmarks.measures_cost` writes
benchmarks/results/measures_cost.csv, which docs/metrics.md quotes.

Every update: three copies of one state are trained in one process, update by update in turn and in changing order: one
as it is, one without any measure, one without the divergence rule, too. Their weights must be equal bit for bit at the
end. Evaluations and the long run: timed in the same process between updates. CPU time, one thread; the ratio
is that of medians, with a bootstrap 95 % interval over the n pairs.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from models.data.load import load
from models.langevin import ChainInfo
from models.measures.evaluation import Evaluator
from models.measures.long_run import told
from models.measures.naming import long_chains
from models.methods import method as methods
from models.noise import Noise
from models.training import step as training
from models.training.fit import evaluation_noise
from models.training.step import TrainState, init_state, train_step

RESULTS = Path(__file__).resolve().parent / "results" / "measures_cost.csv"
COLUMNS = ("data", "method", "what", "without_ms", "with_ms", "ratio", "low", "high", "n")
CASES = (("digits", "kl", 60), ("digits", "jko", 60), ("gaussians8", "kl", 300), ("gaussians8", "jko", 300))
SEEDS = (0, 1, 2, 3)
WARM = 10  # updates before the clock starts
EVALUATIONS, LONG_RUNS = 12, 5
RESAMPLES = 4000


def _bare_chain(potential: Any, x: Tensor, *, steps: int, step_size: float, noise: Noise | None,
                temperature: float = 1.0, slope: Any = None, **unused: Any) -> tuple[Tensor, ChainInfo]:
    """E3 and nothing else."""
    assert not any(unused.values())
    eta, spread = step_size**2 / 2, step_size * math.sqrt(temperature)
    for _ in range(steps):
        _, gradient = slope(x)
        x = x - eta * gradient
        if noise is not None:
            x += noise.normal(*x.shape[1:]).mul_(spread)
    return x.detach(), ChainInfo(*[x.new_zeros(len(x))] * 6)


@contextlib.contextmanager
def unmeasured() -> Iterator[None]:
    """Updates without a measure that the divergence rule does not need, and nothing else changed."""
    zero = torch.zeros(len(SEEDS))
    with mock.patch.object(training, "_info", lambda *a: training.Info(*[zero] * len(training.Info._fields))), \
            mock.patch.object(methods, "langevin", _bare_chain):
        yield


@contextlib.contextmanager
def bare() -> Iterator[None]:
    """Updates without the divergence rule, too."""
    no, none, zero = (torch.full((len(SEEDS),), value) for value in (False, -1, 0.0))

    def gradients(loss: Tensor, network: Any) -> tuple[list[Tensor], Tensor]:
        return list(torch.autograd.grad(loss.sum(), list(network.parameters()))), zero

    with unmeasured(), mock.patch.object(training, "observe", lambda monitor, **a: (monitor, no, none)), \
            mock.patch.object(training, "_norms", lambda points: zero), \
            mock.patch.object(training, "_gradients", gradients):
        yield


MODES = (bare, unmeasured, contextlib.nullcontext)
ORDERS = tuple(itertools.permutations(range(len(MODES))))


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def _row(data: str, method: str, what: str, without: Sequence[float], with_: Sequence[float]) -> dict[str, object]:
    pairs = np.array([without, with_])
    n = pairs.shape[1]
    drawn = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    middles = np.median(pairs[:, drawn], axis=2)
    low, high = np.quantile(middles[1] / middles[0], [0.025, 0.975])
    a, b = np.median(pairs, axis=1)
    return dict(zip(COLUMNS, (data, method, what, f"{1e3 * a:.1f}", f"{1e3 * b:.1f}", f"{b / a:.3f}", f"{low:.3f}",
                              f"{high:.3f}", n), strict=True))


def case(name: str, kind: str, updates: int) -> Iterator[dict[str, object]]:
    """All rows of one data set and method."""
    data = load(name)
    method = methods.build(kind, data, width=16, batch_size=64, mcmc_steps=20, updates=2000)
    states = [init_state(method, data, SEEDS) for _ in MODES]
    seconds: list[list[float]] = [[] for _ in MODES]

    def update(which: int) -> None:
        with MODES[which]():
            spent = _seconds(lambda: train_step(method, data, states[which]))
        if states[which].update > WARM:
            seconds[which].append(spent)

    for k in range(WARM + updates):
        for which in ORDERS[k % len(ORDERS)]:
            update(which)
    for other in states[:-1]:
        _check_equal(other, states[-1])
    without_both, without_measures, whole = seconds
    yield _row(name, kind, "every update, the divergence rule", without_both, without_measures)
    yield _row(name, kind, "every update, all of its measures", without_measures, whole)
    yield from _evaluations(name, kind, Evaluator(method, data), states[-1], lambda: update(len(MODES) - 1), whole)
    yield _long_run(name, kind, Evaluator(method, data), states[-1])


def _check_equal(bare_state: TrainState, state: TrainState) -> None:
    pairs = [*zip(bare_state.nets.f.parameters(), state.nets.f.parameters(), strict=True)]
    if state.pool is not None and bare_state.pool is not None:
        pairs.append((bare_state.pool, state.pool))  # type: ignore[arg-type]
    if not (state.alive.all() and all(torch.equal(a, b) for a, b in pairs)):
        raise SystemExit("the measures changed training, or a replicate diverged: these times compare nothing")


def _evaluations(name: str, kind: str, judge: Evaluator, state: TrainState, update: Callable[[], None],
                 seconds: list[float]) -> Iterator[dict[str, object]]:
    """Each measure of an evaluation beside one update of all replicates, in turn."""
    noise = evaluation_noise(state)
    draw = judge.method.draw(state.nets, state.pool, noise, judge.samples)
    own = {"kappa": lambda: judge._kappa(state, draw, noise),
           "response_gap and update_snr": lambda: judge._signals(state, draw, noise)}
    for what, call in own.items():
        call()
        spent, beside = [], []
        for _ in range(EVALUATIONS):
            update()
            beside.append(seconds[-1])
            spent.append(_seconds(call))
        yield _row(name, kind, f"one evaluation, {what}, beside one update", beside, spent)


def _long_run(name: str, kind: str, judge: Evaluator, state: TrainState) -> dict[str, object]:
    """The long run at the end, unwatched and watched with its R-hat, ESS and IAT."""
    method, noise = judge.method, evaluation_noise(state)
    assert state.pool is not None
    start, steps = state.pool[:, :long_chains(judge.samples)], judge.long_run * method.hp.mcmc_steps

    def watched() -> None:
        found = judge._longer(state, noise)
        assert found is not None
        for r in range(len(SEEDS)):
            told(found, r)

    spent: list[list[float]] = [[], []]
    for k in range(LONG_RUNS):
        calls = (lambda: method.chain(lambda p: method.potential(state.nets, p), start, noise, steps,
                                      method.hp.step_size), watched)
        for which in (0, 1) if k % 2 else (1, 0):
            spent[which].append(_seconds(calls[which]))
    return _row(name, kind, "the long run at the end, watched", *spent)


def main() -> None:
    """Write the table, a case after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--only", help="a data set")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name, kind, updates in CASES if args.only in (None, name) for row in case(name, kind, updates)]
    with open(args.out, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
