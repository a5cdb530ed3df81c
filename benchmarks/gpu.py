"""What a GPU does with our updates: `python -m benchmarks.gpu` prints four tables in minutes. It needs no
more than models/ does: no ray, optuna or mlflow.

    python -m benchmarks.gpu                                  the first CUDA device
    python -m benchmarks.gpu --write                          also put the tables into docs/gpu.md
    python -m benchmarks.gpu --device cpu --small             a little of it on a CPU, to try it

Times are of the wall, the median of n updates, each waited for.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.speed import ROOT, Work, flops, ours, write
from models.cpus import usable_cpus
from models.methods.method import Method
from models.noise import Noise
from models.registry import METHODS
from models.testing import tiny
from models.training import adam
from models.training.step import init_state, train_step
from study.run.safeguards import exact_on_gpu

PAGE = ROOT / "docs/gpu.md"
SIDE = 4096  # of the matrices whose product says what the device can do
PARITY = 3  # updates
BUNDLES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PLANE = Work("MLP, batch 128", (2,), 128, 16, {1: 0, 8: 0}, 2)
SMALL = Work("1 x 8 x 8, width 8", (1, 8, 8), 64, 8, {1: 0, 8: 0}, 2)
WORKS = (PLANE, SMALL, Work("1 x 28 x 28, width 64", (1, 28, 28), 64, 64, {1: 0, 8: 0}, 4),
         Work("3 x 32 x 32, width 64", (3, 32, 32), 64, 64, {1: 0, 8: 0}, 4),
         Work("3 x 32 x 32, width 128", (3, 32, 32), 64, 128, {1: 0}, 4))


class HostNoise(Noise):
    """A CPU's draws, carried to a device: there each device has the same chance."""

    def __init__(self, host: Noise, device: torch.device) -> None:
        super().__init__(host.generators, host.dtype)
        self.host, self.device = host, device

    def normal(self, *shape: int) -> Tensor:
        return self.host.normal(*shape).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        return self.host.uniform(*shape).to(self.device)


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(update: Callable[[], Any], device: torch.device, seconds: float) -> tuple[float, int]:
    """Median seconds of an update, and of how many. The first two are for what is made once."""
    for _ in range(2):
        update()
    wait(device)
    found: list[float] = []
    until = time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < until:
        began = time.perf_counter()
        update()
        wait(device)
        found.append(time.perf_counter() - began)
    return statistics.median(found), len(found)


def waits(update: Callable[[], Any], device: torch.device) -> int | None:
    """How often an update makes the host wait for the device, where torch can say so."""
    if device.type != "cuda":
        return None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            update()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(one.message) for one in said)


class Operators(TorchDispatchMode):
    """How many of torch's operators ran: on a GPU about as many launches, views aside."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def operators(update: Callable[[], Any]) -> int:
    """Of one update, as on a GPU, which is not asked who lives."""
    with patch.object(adam, "known_all_alive", lambda alive: False), Operators() as found:
        update()
    return found.count


def products(device: torch.device, seconds: float, side: int) -> pd.DataFrame:
    """What the device's matrix product does, in TFLOP/s, by precision."""
    rows = []
    for name, dtype, coarse in (("fp32", torch.float32, False), ("fp32 as TF32", torch.float32, True),
                                ("bf16", torch.bfloat16, False)):
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = coarse
        a = torch.randn(side, side, device=device, dtype=dtype)
        took, n = timed(lambda a=a: a @ a, device, seconds)  # type: ignore[misc]
        torch.backends.cuda.matmul.allow_tf32 = before
        rows.append({"matrix product": name, "TFLOP/s": 2 * side**3 / took / 1e12, "n": n})
    return pd.DataFrame(rows)


def updates(device: torch.device, factor: float, works: tuple[Work, ...], peaks: dict[str, float]) -> pd.DataFrame:
    """What an update takes, by work, method, precision and replicates at once. peaks: TFLOP/s by precision."""
    rows: list[dict[str, Any]] = []
    for work in works:
        for replicates in work.goals:
            for method, precision in (("kl", "fp32"), ("kl", "bf16"), ("jko", "fp32")):
                update = ours(work, replicates, method, device, precision=precision)
                took, n = timed(update, device, work.seconds * factor)
                rows.append({"work": work.name, "method": method, "precision": precision, "R": replicates,
                             "ms": 1e3 * took, "replicate-updates/s": replicates / took,
                             "of the product's speed": flops(work) * replicates / took / 1e12 / peaks[precision]
                             if method == "kl" else None,
                             "operators": operators(update), "waits": waits(update, device), "n": n})
    return pd.DataFrame(rows)


def bundles(device: torch.device, factor: float, counts: tuple[int, ...] = BUNDLES) -> pd.DataFrame:
    """Replicate-updates a second by how many train at once, over that of one; empty where memory ends."""
    rows = []
    for work in (PLANE, SMALL):
        row: dict[str, Any] = {"work": work.name}
        for count in counts:
            try:
                took, _ = timed(ours(work, count, device=device), device, work.seconds * factor)
            except torch.OutOfMemoryError:
                break
            row[f"R = {count}"] = count / took
        first = row["R = 1"]
        rows.append({name: value / first if name.startswith("R") else value for name, value in row.items()}
                    | {"replicate-updates/s at R = 1": first})
    return pd.DataFrame(rows)


def distance(method: Method, device: torch.device) -> float:
    """By how much of the greatest weight two replicates' weights differ between this device and a CPU, after a few
    updates from the same networks and particles with the same chance."""
    on = tiny.data(tiny.IMAGES)
    here, there = init_state(method, on, (0, 1)), init_state(method, on, (0, 1), device)
    for name, tensor in there.tensors().items():
        tensor.copy_(here.tensors()[name])
    there.noise = HostNoise(init_state(method, on, (0, 1)).noise, device)  # as far on as the CPU's
    for _ in range(PARITY):
        train_step(method, on, here)
        train_step(method, on, there)
    if not torch.equal(here.alive, there.alive.cpu()):
        return math.inf
    one, other = (torch.stack([tiny.weights(state, r).cpu() for r in (0, 1)]) for state in (here, there))
    return float(((one - other).abs().amax(1) / one.abs().amax(1)).max())  # NaN where one is


def parity(device: torch.device) -> pd.DataFrame:
    """Each method's distance from a CPU, by precision."""
    on = tiny.data(tiny.IMAGES)
    rows = [{"method": name, **{precision: distance(tiny.method(name, on, precision=precision), device)
                                for precision in ("fp64", "fp32")}} for name in METHODS]
    return pd.DataFrame(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="where to train (default: cuda)")
    parser.add_argument("--small", action="store_true", help="small networks and few replicates alone, in less time")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/gpu.md")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device; --device cpu tries the same on a CPU")
    torch.set_num_threads(1)
    exact_on_gpu()
    small = options.small
    tables: list[str] = []

    def show(frame: pd.DataFrame) -> pd.DataFrame:
        tables.append(frame.astype(object).where(frame.notna(), None).to_markdown(index=False, floatfmt=".3g"))
        print(f"\n{tables[-1]}", flush=True)
        return frame

    peaks = show(products(device, *((0.1, 256) if small else (1.0, SIDE)))).set_index("matrix product")["TFLOP/s"]
    show(updates(device, *((0.05, WORKS[:2]) if small else (1.0, WORKS)), peaks.to_dict()))
    show(bundles(device, *((0.05, BUNDLES[:3]) if small else (0.5, BUNDLES))))
    show(parity(device))
    if options.write:
        what = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{usable_cpus()} CPUs"
        write("gpu", what, "\n\n".join(tables), PAGE)


if __name__ == "__main__":
    main()
