"""What a launch costs as a study grows: the driver's memory while it runs, and a relaunch with nothing to do.

    python benchmarks/scale.py memory --units 2000      one launch of so many tiny units: memory against units done
    python benchmarks/scale.py relaunch --units 100 1000    finish so many, then launch again

Writes benchmarks/results/<what>.csv, and docs/figures/driver-memory.svg. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

ROOT = Path(__file__).resolve().parent.parent
RESULTS, FIGURES = ROOT / "benchmarks/results", ROOT / "docs/figures"
SPEC = """\
study: scale
data: moons
method: kl
train: {{updates: 1, batch_size: 8, width: 2, particles: 32, mcmc_steps: 1}}
design: {{replicates: 1, step_size: [{levels}]}}
evaluation: {{points: 1, samples: 32, long_run: 1}}
"""
MIB = 1024**2


def launch(folder: Path, units: int) -> list[dict[str, float]]:
    """Run the study with so many units; once a second: seconds, units done, the driver's resident memory in MiB, and
    its CPU seconds."""
    levels = ", ".join(f"{step:.6g}" for step in np.linspace(0.001, 0.1, 2000)[:units])
    (folder / "scale.yaml").write_text(SPEC.format(levels=levels))
    rows = []
    begun = time.monotonic()
    with open(folder / "out", "w+") as out:
        command = [sys.executable, "-m", "study.launch", "--space", "scale.yaml"]
        with psutil.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT) as process:
            while process.poll() is None:
                done = (folder / "out").read_text().count("\n[")
                with contextlib.suppress(psutil.NoSuchProcess):
                    if mib := process.memory_info().rss / MIB:  # 0: it has just ended
                        rows.append({"seconds": time.monotonic() - begun, "units": done, "mib": mib,
                                     "cpu_seconds": sum(process.cpu_times()[:2])})
                time.sleep(1.0)
        if process.returncode:
            sys.exit((folder / "out").read_text())
    done = (folder / "out").read_text().count("\n[")
    return [*rows, {**rows[-1], "seconds": time.monotonic() - begun, "units": done}]


def memory(folder: Path, units: list[int]) -> pd.DataFrame:
    frame = pd.DataFrame(launch(folder, max(units)))
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), layout="constrained")
    ax = figure.subplots()
    ax.plot("units", "mib", data=frame[frame["units"] > 0])
    ax.set(xlabel="units of work done in one launch", ylabel="driver's resident memory (MiB)", ylim=(0, None))
    FIGURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURES / "driver-memory.svg", metadata={"Date": None})
    return frame[(frame.index % 10 == 0) | (frame.index == len(frame) - 1)]


def relaunch(folder: Path, units: list[int]) -> pd.DataFrame:
    rows = []
    for count in sorted(units):  # each extends the one before
        launch(folder, count)
        for repeat in range(3):
            rows.append({"finished": count, "repeat": repeat, **launch(folder, count)[-1]})
            print(rows[-1], flush=True)
    return pd.DataFrame(rows).drop(columns="units")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("memory", "relaunch"))
    parser.add_argument("--units", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    frame = {"memory": memory, "relaunch": relaunch}[arguments.what](folder, arguments.units)
    RESULTS.mkdir(parents=True, exist_ok=True)
    frame.round(2).to_csv(RESULTS / f"{arguments.what}.csv", index=False)
    print(frame.tail(12).to_string())


if __name__ == "__main__":
    main()
