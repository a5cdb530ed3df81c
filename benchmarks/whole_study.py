"""A whole study beside the same search in plain Ray Tune, OptunaSearch, Repeater and MLflowLoggerCallback: 16
configurations of 6 seeds on digits. 15 minutes on two idle cores.

    python -m benchmarks.whole_study              print both, and where our CPU time goes
    python -m benchmarks.whole_study --write      also write benchmarks/results/whole_study.csv and docs/benchmarks.md

CPU time is that of the command and of all processes it starts, Ray's among them, read four times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil

from benchmarks.speed import ROOT, write
from models.cpus import usable_cpus
from study.spec.yaml_text import as_yaml

RESULTS = ROOT / "benchmarks/results/whole_study.csv"
TRIALS, REPLICATES, UPDATES, POINTS, SAMPLES = 16, 6, 210, 7, 256
NAMES = {"wall": "seconds of wall", "cpu": "CPU seconds", "units": "of the workers: units",
         "updates": "of these: updates"}
KNOBS = {"width": 8, "batch_size": 64, "mcmc_steps": 20, "updates": UPDATES}
SPEC = {"study": "whole", "data": "digits", "method": "kl", "train": KNOBS,
        "search": {"replicates": REPLICATES, "trials": TRIALS, "sampler": "tpe",
                   "space": {"step_size": {"log": [0.05, 0.3]}, "lr_f": {"log": [5e-4, 8e-3]}}},
        "evaluation": {"points": POINTS, "samples": SAMPLES}}


def run(folder: Path, *command: str, checkout: Path = ROOT, core: int | None = None) -> dict[str, float]:
    """Seconds of wall and CPU of a command, by this checkout or another, on all cores or one: its own, its workers',
    those of Ray's other processes."""
    began, spent = time.monotonic(), {}
    with (folder / "out").open("w") as out:
        process = psutil.Popen([sys.executable, *command], cwd=folder, stdout=out, stderr=subprocess.STDOUT,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [
                                   str(checkout), os.environ.get("PYTHONPATH")]))})
        if core is not None:
            process.cpu_affinity([core])
        while process.poll() is None:
            try:
                for one in (process, *process.children(recursive=True)):
                    with one.oneshot():
                        part = _part(one, process)
                        spent[one.pid, one.create_time()] = part, sum(one.cpu_times()[:2])
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.25)
    if process.returncode:
        sys.exit((folder / "out").read_text())
    parts = pd.DataFrame(spent.values(), columns=["part", "seconds"]).groupby("part")["seconds"].sum()
    return {"wall": time.monotonic() - began, "cpu": float(parts.sum()), **parts.to_dict()}


def _part(one: psutil.Process, command: psutil.Process) -> str:
    words = " ".join(one.cmdline())
    if one.pid == command.pid:
        return "driver"
    is_worker = "default_worker.py" in words or (words.startswith("ray::") and "Agent" not in words)
    return "workers" if is_worker else "Ray itself"


def training(folder: Path) -> dict[str, float]:
    """CPU seconds of the units of our study, and what of it their updates alone take: one is trained again for this."""
    from models.data.load import load
    from models.methods.method import build
    from models.training.fit import fit

    units = [json.loads(path.read_text()) for path in (folder / "runs/whole").glob("*/*/done.json")]
    data = load({"name": "digits"})
    method = build("kl", data, **KNOBS, step_size=0.1)
    began = time.process_time()
    for _ in fit(method, data, range(REPLICATES), [UPDATES]):
        pass
    return {"units": sum(unit["cpu_seconds"] for unit in units), "updates": TRIALS * (time.process_time() - began)}


def table(frame: pd.DataFrame) -> str:
    """A line for each quantity, as Markdown."""
    shown = frame.map(lambda x: "" if pd.isna(x) else f"{x:.1f}").rename(columns=NAMES).T
    return str(shown.to_markdown(disable_numparse=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the figures, and put them into docs/benchmarks.md")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    settings = {**KNOBS, "trials": TRIALS, "replicates": REPLICATES, "cpus": usable_cpus(), "samples": SAMPLES}
    rows = []
    for name, command in {"ours": ("-m", "study.launch", "--space", "whole.yaml", "--quiet"),
                          "plain": ("-m", "benchmarks.peers.tune_study", json.dumps(settings))}.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        folder = Path(tempfile.mkdtemp())
        (folder / "whole.yaml").write_text(as_yaml(SPEC))
        rows.append({"study": name, **run(folder, *command)})
        if name == "ours":
            rows[-1] |= training(folder)
    frame = pd.DataFrame(rows).set_index("study")
    frame["replicates a CPU minute"] = 60 * TRIALS * REPLICATES / frame["cpu"]
    print(table(frame))
    if options.write:
        frame.round(2).to_csv(RESULTS)
        write("whole study", f"{usable_cpus()} CPUs", table(frame))


if __name__ == "__main__":
    main()
