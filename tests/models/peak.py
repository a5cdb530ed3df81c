"""How much memory an update or an evaluation takes, measured in a process of its own: a process's peak only grows."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any


def peak_bytes(method: str, shape: tuple[int, ...], replicates: int, samples: int = 0, updates: int = 2,
               **knobs: Any) -> int:
    """The peak of updates and of drawing `samples`, above what a process holds that has torch, data and a small
    update behind it."""
    with ProcessPoolExecutor(1, _processes()) as one:
        return one.submit(_measure, method, shape, replicates, samples, updates, knobs).result()


@cache
def _processes() -> ForkServerContext:
    """Each has torch from a process that only imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.training.step", "models.methods.method", "models.testing.tiny"])
    return context


def _status(key: str) -> int:
    """Of this process alone: what `getrusage` says counts from the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def _measure(method: str, shape: tuple[int, ...], replicates: int, samples: int, updates: int,
             knobs: dict[str, Any]) -> int:
    import torch

    from models.methods.method import build
    from models.testing import tiny
    from models.training.fit import sample
    from models.training.step import init_state, train_step

    torch.set_num_threads(1)
    on, seeds = tiny.data(shape, 300), list(range(replicates))
    small = build(method, on, **{**knobs, "batch_size": 2, "micro_batch": None, "mcmc_steps": 1, "width": 2})
    train_step(small, on, init_state(small, on, [0]))
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    one = build(method, on, **knobs)
    state = init_state(one, on, seeds)
    for _ in range(updates):
        state, _ = train_step(one, on, state)
    if samples:
        sample(one, state, samples)
    return _status("VmHWM") - before

