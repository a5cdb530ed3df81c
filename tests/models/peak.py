"""How much memory an update takes, measured in a process of its own: a process's peak only grows."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any


def peak_bytes(method: str, shape: tuple[int, ...], replicates: int, **knobs: Any) -> int:
    """By how much two updates raise the peak of a process that has torch, data and a first small update behind it."""
    command = [sys.executable, "-m", "tests.models.peak", json.dumps([method, shape, replicates, knobs])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _measure(method: str, shape: list[int], replicates: int, knobs: dict[str, Any]) -> int:
    import torch

    from models.methods.method import build
    from models.testing import tiny
    from models.training.step import init_state, train_step

    torch.set_num_threads(1)
    on, seeds = tiny.data(tuple(shape), 300), list(range(replicates))
    small = build(method, on, **{**knobs, "batch_size": 2, "micro_batch": None, "mcmc_steps": 1, "width": 2})
    train_step(small, on, init_state(small, on, [0]))
    before = _peak()
    one = build(method, on, **knobs)
    state = init_state(one, on, seeds)
    for _ in range(2):
        state, _ = train_step(one, on, state)
    return _peak() - before


if __name__ == "__main__":
    print(_measure(*json.loads(sys.argv[1])))
