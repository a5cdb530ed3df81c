"""What a replicate's update costs by how many train at once: `python -m benchmarks.replicates` prints a table.

It bounds what units that agree but for numbers would gain from training as one batch. Updates are timed in turn in one
process, CPU time, the least of n; one thread.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import pandas as pd
import torch

from models.data.load import load
from models.methods.method import build
from models.training.step import init_state, train_step

AT_ONCE = (1, 2, 4, 8, 16, 32)
BASE = 2  # replicates of a search trial, by default
FEW_STEPS = {"flow": "kl", "mcmc_steps": 5, "latent_steps": 2, "anchor": 1.0, "posterior_steps": 3}
CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("gaussians8", "kl", {"batch_size": 32}), ("gaussians8", "kl", {"batch_size": 128}),
    ("digits", "kl", {"width": 8, "mcmc_steps": 10}), ("digits", "ggcn", {"width": 8, **FEW_STEPS}),
    ("mnist", "kl", {"width": 8, "mcmc_steps": 10}))


def costs(data: str, method: str, knobs: dict[str, Any], n: int) -> dict[int, float]:
    """Milliseconds of CPU of a replicate's update, by how many train at once."""
    on = load({"name": data})
    one = build(method, on, updates=n + 1, **knobs)
    states = {count: init_state(one, on, range(count)) for count in AT_ONCE}
    found: dict[int, list[float]] = {count: [] for count in AT_ONCE}
    for k in range(n + 1):  # the first is for what is made once
        for count, state in states.items():
            begun = time.process_time()
            train_step(one, on, state)
            found[count] += [(time.process_time() - begun) / count] * (k > 0)
    return {count: 1e3 * min(values) for count, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replicates", description=__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=12, help="updates of each (default: 12)")
    n = parser.parse_args().n
    torch.set_num_threads(1)
    rows = []
    for data, method, knobs in CASES:
        cost = costs(data, method, knobs, n)
        rows.append({
            "data": data, "method": method, "batch": knobs.get("batch_size", 64), f"ms at R = {BASE}": cost[BASE],
            **{f"R = {count}": cost[BASE] / value for count, value in cost.items()}, "n": n})
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".2f"))


if __name__ == "__main__":
    main()
